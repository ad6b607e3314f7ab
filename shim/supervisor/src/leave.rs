//! The end of the supervisor itself, and the cgroup it lives in until then.

use std::time::Instant;

use gantry_supervisor_proto::types::Nothing;
use gantry_sys::cgroup::{Group, remove_everywhere};
use gantry_sys::process::pidfd_send_signal;
use nix::libc::SIGKILL;

use crate::runtime::work::What;
use crate::say;
use crate::supervisor::Supervisor;
use crate::task::{Task, Waiter};

impl Supervisor {
    /// Begins the end: everything is killed, then [`Supervisor::is_over`].
    pub(crate) fn begin_ending(&mut self, to: Option<Waiter>) {
        self.ending.get_or_insert_default().extend(to);
        self.stop_compressing();
        let now = Instant::now();
        let keys: Vec<u32> = self.tasks.keys().copied().collect();
        for key in keys {
            self.thaw(key);
            let Some(task) = self.tasks.get_mut(&key) else {
                continue;
            };
            if let Some((_, pidfd)) = &task.process {
                let _ = pidfd_send_signal(pidfd, SIGKILL);
                if task.is_container() {
                    task.kill_again = Some(now);
                }
            }
        }
        for work in self.works.values() {
            if matches!(work.what, What::Launch) {
                work.kill();
            }
        }
    }

    /// Whether nothing is left but to leave.
    pub(crate) fn is_over(&self) -> bool {
        let idle = |t: &Task| t.process.is_none() && t.is_ended() && !t.stdio.is_busy();
        self.ending.is_some()
            && self.unmounts.is_empty()
            && self.compressing.is_none()
            && self.works_are_over()
            && self.tasks.values().all(idle)
    }

    /// Removes what is ours on disk and answers; root mounts, namespaces and ports go with the process.
    pub(crate) fn leave(&mut self) {
        gantry_fault::pass("supervisor.leave.before-cgroups");
        if let Some(init) = self.pod_init.take() {
            init.end();
        }
        let groups = self.tasks.values().filter_map(|t| t.group.as_ref());
        for group in groups.chain(self.sandbox.as_ref()) {
            if let Err(e) = group.remove() {
                say(format!("remove cgroup {}: {e}", group.path()));
            }
        }
        if let (Some(sandbox), true) = (&self.sandbox, self.next_work > 1)
            && let Err(e) = remove_everywhere(sandbox.path())
        {
            say(format!("remove cgroups {}: {e}", sandbox.path()));
        }
        self.tasks.clear();
        gantry_fault::pass("supervisor.leave.after-cgroups");
        self.leave_own_group();
        gantry_fault::pass("supervisor.leave.after-own-cgroup");
        if !self.state.netns_link.is_empty() {
            // Gone already is as good.
            let _ = std::fs::remove_file(&self.state.netns_link);
        }
        if let Err(e) = std::fs::remove_dir_all(&self.folder) {
            say(format!("remove {}: {e}", self.folder.display()));
        }
        gantry_fault::pass("supervisor.leave.after-folder");
        for to in self.ending.take().unwrap_or_default() {
            self.answer(to, Ok(Nothing {}));
        }
    }

    /// Steps into our own cgroup, away from gantryd's and the sandbox's.
    pub(crate) fn move_to_own_group(&mut self) {
        self.must_move = false;
        let Some(own) = &self.own else { return };
        gantry_fault::pass("supervisor.own-cgroup.before-move");
        if let Err(e) = own.create().and_then(|()| own.attach_self()) {
            say(format!("move to cgroup {}: {e}", own.path()));
        }
        gantry_fault::pass("supervisor.own-cgroup.after-move");
    }

    /// A cgroup with a process in it cannot be removed: step up, then remove it.
    fn leave_own_group(&mut self) {
        let (Some(own), Some(hierarchies)) = (self.own.take(), &self.hierarchies) else {
            return;
        };
        let Some((parent, _)) = own.path().rsplit_once('/') else {
            return;
        };
        let left = Group::at(hierarchies, parent, &[]).and_then(|parent| parent.attach_self());
        if let Err(e) = left.and_then(|()| own.remove()) {
            say(format!("leave cgroup {}: {e}", own.path()));
        }
    }
}
