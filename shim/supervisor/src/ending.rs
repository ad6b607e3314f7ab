//! Ends of a process, and of a container that is to be forgotten.
//!
//! The order at an exit: reap → kill what is left in its cgroup → read its output to the end (with a deadline) → exit
//! into its slot → state → tell. Nobody hears of an exit that is not on disk.

use std::time::{Duration, Instant};

use gantry_supervisor_proto::WireError;
use gantry_supervisor_proto::files;
use gantry_supervisor_proto::types::{Exit, Nothing};
use gantry_sys::cgroup::{Group, remove_everywhere};
use gantry_sys::process::{pidfd_send_signal, try_wait};
use nix::libc::SIGKILL;

use crate::launch::inputs::seccomp_file;
use crate::requests::exited;
use crate::runtime::Left;
use crate::say;
use crate::supervisor::Supervisor;
use crate::task::{Phase, Role, Waiter};
use crate::unmount;

/// How long output is waited for when somebody outside the container still holds its pipe.
const DRAIN: Duration = Duration::from_secs(5);
/// The same for an exec, whose children may go on and keep its pipe as long as they like.
const DRAIN_EXEC: Duration = Duration::from_secs(2);
/// Between two looks at a cgroup that is being emptied.
pub(crate) const AGAIN: Duration = Duration::from_millis(5);

impl Supervisor {
    /// A pidfd is readable: reap, and begin to drain.
    pub(crate) fn process_ended(&mut self, key: u32) {
        self.reserve.make_room();
        // What it said before it ended comes first.
        self.report_ready(key);
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        let Some((_, pidfd)) = &task.process else {
            return;
        };
        let code = match try_wait(pidfd) {
            Ok(None) => return,
            Ok(Some(exit)) => exit.code(),
            Err(e) => {
                say(format!("reap {}: {e}", task.name()));
                255
            }
        };
        task.process = None;
        task.stdio.process_reaped();
        if matches!(task.phase, Phase::Making(_)) {
            // Whoever waited for it has been told by now.
            return self.never_was(key);
        }
        // An exec shares its container's count: one of before may be in it.
        let killed = task.is_container() || code == 128 + SIGKILL;
        let oom = killed && task.group.as_ref().is_some_and(|g| g.oom_kills() > 0);
        task.exit.get_or_insert(Exit {
            code,
            at: gantry_logs::clock::now(),
            oom,
            timed_out: task.timed_out,
        });
        let now = Instant::now();
        let wait = if task.is_container() {
            DRAIN
        } else {
            DRAIN_EXEC
        };
        if task.is_container() {
            task.kill_again = Some(now);
        } else if !task.condemned {
            task.kill_again = None;
        }
        task.pending = None;
        task.phase = Phase::Draining(now + wait);
        self.try_end(key, now);
    }

    /// Kills what is in a task's cgroup, and comes again while there is something.
    pub(crate) fn kill_rest(&mut self, key: u32, now: Instant) {
        self.reserve.make_room();
        self.thaw(key);
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        // A list that cannot be read may have somebody in it.
        let left = task.group.as_ref().map_or(Ok(0), Group::kill).unwrap_or(1);
        if let (true, Some((_, pidfd))) = (task.condemned, &task.process) {
            let _ = pidfd_send_signal(pidfd, SIGKILL);
        }
        if task.condemned
            && let Some(foreign) = task.pending.as_ref().and_then(|p| p.foreign())
            && let Some(work) = self.works.get(&foreign.work)
        {
            work.kill();
        }
        task.kill_again = (left > 0).then_some(now + AGAIN);
    }

    /// Ends a draining task when its output is read, or its time is over.
    pub(crate) fn try_end(&mut self, key: u32, now: Instant) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        let Phase::Draining(until) = task.phase else {
            return;
        };
        let killed = task.kill_again.is_none();
        // What a client holds up is not late; its own time limit is near.
        let may_wait = now < until || task.stdio.is_held_up();
        if !(killed && task.stdio.is_drained()) && may_wait {
            return;
        }
        task.kill_again = None;
        task.stdio.end();
        task.phase = Phase::Ended;
        if let (Role::Container { run, slot, .. }, Some(exit)) = (&task.role, &task.exit)
            && let Err(e) = write_exit(slot, *run, exit)
        {
            say(format!("write exit of {}: {e}", task.name()));
        }
        let event = exited(task).filter(|_| !task.silent);
        let container = task.is_container();
        if container {
            self.note_state();
            self.begin_delete(key);
        } else if let Some(task) = self.tasks.get(&key) {
            // Children it left behind may still be in there; then it goes with the container's.
            let _ = task.group.as_ref().map(Group::remove);
        }
        if let Some(event) = event {
            self.tell(event);
        }
    }

    /// Forgets a container; answered when its root is unmounted.
    pub(crate) fn delete(&mut self, to: Waiter, id: &str) -> Result<(), WireError> {
        let key = self.container(id)?;
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        task.deleting.push(to);
        if let Some((_, pidfd)) = &task.process {
            // Freed from the freezer below, if need be.
            let _ = pidfd_send_signal(pidfd, SIGKILL);
            self.thaw(key);
        }
        self.try_forget(key);
        Ok(())
    }

    /// Goes on with forgetting what has ended: an exec when its clients are told, a container when it is asked for.
    pub(crate) fn try_forget(&mut self, key: u32) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        if !task.is_ended() || task.unmounting {
            return;
        }
        if !task.is_container() {
            if !task.stdio.is_busy() {
                self.tasks.remove(&key);
            }
            return;
        }
        // What its clients have not read yet must not be lost by it, nor what its log has no room for at this moment.
        let abandoned = task.held.as_ref().is_some_and(|h| h.abandoned);
        if (task.deleting.is_empty() && !abandoned) || task.stdio.is_busy() {
            return;
        }
        // Another runtime's container is in somebody's way until that runtime has forgotten it.
        let known = task.held.as_ref().map(|h| h.left != Left::Nothing);
        if known.is_some_and(|known| known || task.kill_again.is_some()) {
            return;
        }
        if let Some(rootfs) = task.rootfs.take() {
            gantry_fault::pass("supervisor.delete.before-unmount");
            match unmount::in_child(key, rootfs) {
                Ok(unmount) => {
                    task.unmounting = true;
                    self.unmounts.push(unmount);
                    return;
                }
                Err(e) => say(format!("unmount {} in a child: {e}", task.name())),
            }
        }
        self.forget(key);
    }

    /// An unmounting child has ended.
    pub(crate) fn unmounted(&mut self, index: usize) {
        let Some(unmount) = self.unmounts.get(index) else {
            return;
        };
        if matches!(try_wait(&unmount.pidfd), Ok(None)) {
            return;
        }
        let key = self.unmounts.swap_remove(index).task;
        if let Some(task) = self.tasks.get_mut(&key) {
            task.unmounting = false;
        }
        self.try_forget(key);
    }

    /// Kills an exec's tree, whatever becomes of its first process.
    pub(crate) fn condemn(&mut self, key: u32, now: Instant) {
        if let Some(task) = self.tasks.get_mut(&key)
            && !task.condemned
        {
            task.condemned = true;
            task.kill_again = Some(now);
        }
    }

    /// Removes all traces of a task.
    pub(crate) fn forget(&mut self, key: u32) {
        let Some(task) = self.tasks.remove(&key) else {
            return;
        };
        if let Some(group) = &task.group
            && let Err(e) = group.remove()
        {
            say(format!("remove cgroup of {}: {e}", task.name()));
        }
        if !task.is_container() {
            return;
        }
        if let (Some(held), Some(group)) = (&task.held, &task.group) {
            if let Err(e) = remove_everywhere(group.path()) {
                say(format!("remove cgroups of {}: {e}", task.name()));
            }
            // What is left of it goes with our folder.
            let _ = std::fs::remove_dir_all(&held.bundle);
        }
        gantry_fault::pass("supervisor.delete.after-cgroup");
        files::remove_exit_slot(&self.folder, &task.id);
        // There is none when the configuration has no filter.
        let _ = std::fs::remove_file(seccomp_file(&self.folder, &task.id));
        let of_it = |t: &crate::task::Task| matches!(t.role, Role::Exec { container, .. } if container == key);
        self.tasks.retain(|_, t| !(of_it(t) && t.is_ended()));
        self.note_state();
        for to in task.deleting {
            self.answer(to, Ok(Nothing {}));
        }
    }
}

/// Onto its space, taken before the container started.
fn write_exit(slot: &std::fs::File, run: u32, exit: &Exit) -> std::io::Result<()> {
    gantry_fault::pass("supervisor.exit.before-write");
    files::write_exit(slot, run, exit)?;
    gantry_fault::pass("supervisor.exit.after-write");
    Ok(())
}
