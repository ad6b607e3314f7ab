//! Children that call another runtime: watched, limited in time, and cleared away with whatever they have started.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use gantry_oci::{FailureKind, LaunchError};
use gantry_supervisor_proto::types::Nothing;
use gantry_sys::cgroup::Group;
use gantry_sys::process::{ended_child, pidfd_open, pidfd_send_signal, try_wait};
use nix::libc::SIGKILL;

use super::Left;
use super::report::{self, Received};
use crate::launch::inputs::wire;
use crate::say;
use crate::supervisor::Supervisor;
use crate::task::{Phase, Waiter};

/// Between two looks at orphans that end one by one.
const ORPHANS: Duration = Duration::from_secs(30);

/// What a child is for.
#[derive(Debug)]
pub(crate) enum What {
    /// A task, which has its report.
    Launch,
    /// Forgetting a container.
    Delete(u32),
    /// A signal.
    Kill {
        /// Who waits.
        to: Waiter,
        /// The container.
        key: u32,
        signal: i32,
    },
}

/// One child.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) group: Option<Group>,
    /// What it says, where it is no task's.
    pub(crate) report: Option<OwnedFd>,
    pub(crate) what: What,
    /// When it and all it has started are killed.
    pub(crate) deadline: Option<Instant>,
    /// The longest it may wait for the runtime at once.
    pub(crate) limit: Duration,
    pub(crate) late: bool,
}

impl Work {
    /// Kills it with all it has started; what it has given to a container's cgroup is that container's.
    pub(crate) fn kill(&self) {
        // Ended already is as good.
        let _ = pidfd_send_signal(&self.pidfd, SIGKILL);
        let _ = self.group.as_ref().map(Group::kill);
    }
}

impl Supervisor {
    /// A child's pidfd is readable.
    pub(crate) fn work_ended(&mut self, key: u32) {
        self.reserve.make_room();
        match self.works.get(&key).map(|work| try_wait(&work.pidfd)) {
            None | Some(Ok(None)) => return,
            Some(Ok(Some(_))) => {}
            Some(Err(e)) => say(format!("reap a runtime's caller: {e}")),
        }
        let Some(work) = self.works.remove(&key) else {
            return;
        };
        self.leftovers.extend(work.group);
        let said = work.report.as_ref().map(report::receive);
        let done = match said {
            Some(Ok(Received::Runs(_))) => Ok(()),
            Some(Err(error)) => Err(error),
            _ if work.late => Err(failure(late(work.limit))),
            _ => Err(failure("the runtime's caller ended without an answer")),
        };
        match work.what {
            What::Launch => self.launch_over(key, work.late.then_some(work.limit)),
            What::Delete(task) => {
                if let Err(error) = done {
                    say(format!("delete by a runtime: {error}"));
                }
                gantry_fault::pass("supervisor.runtime.after-delete");
                self.deleted(task);
            }
            What::Kill { to, key, signal } => self.killed(to, key, signal, done),
        }
    }

    /// Whatever it has said is heard first; if that was not all, it never will be.
    fn launch_over(&mut self, work: u32, over: Option<Duration>) {
        let of_it = |t: &crate::task::Task| {
            let foreign = t.pending.as_ref().and_then(|p| p.foreign());
            foreign.is_some_and(|f| f.work == work)
        };
        let find = |all: &Self| all.tasks.iter().find(|(_, t)| of_it(t)).map(|(k, _)| *k);
        for _ in 0..2 {
            if let Some(key) = find(self) {
                self.report_ready(key);
            }
        }
        let Some(key) = find(self) else { return };
        let why = over.map_or_else(|| "the runtime's caller has ended".to_owned(), late);
        self.failed(key, &failure(why));
    }

    /// The runtime has forgotten a container.
    pub(crate) fn deleted(&mut self, key: u32) {
        if let Some(held) = self.tasks.get_mut(&key).and_then(|t| t.held.as_mut()) {
            held.left = Left::Nothing;
        }
        self.try_forget(key);
    }

    /// A runtime that cannot signal does not keep anything alive: the process itself is tried.
    fn killed(&mut self, to: Waiter, key: u32, signal: i32, done: Result<(), LaunchError>) {
        let process = self.tasks.get(&key).and_then(|t| t.process.as_ref());
        let done = match (done, process) {
            (Err(error), Some((_, pidfd))) => {
                pidfd_send_signal(pidfd, signal).map_err(|_| wire(error))
            }
            // It has ended meanwhile, of this signal perhaps.
            _ => Ok(()),
        };
        if signal == SIGKILL {
            self.thaw(key);
        }
        self.answer(to, done.map(|()| Nothing {}));
    }

    /// Deadlines of children, and what they have left in their cgroups.
    pub(crate) fn tend_works(&mut self, now: Instant) {
        for work in self.works.values_mut() {
            if work.deadline.is_some_and(|at| at <= now) {
                work.late = true;
                work.deadline = None;
                work.kill();
            }
        }
        if self.next_work > 1 {
            self.reap_orphans();
        }
        self.leftovers.retain(|group| {
            // What cannot be listed may have somebody in it; what is in it still is seen the next time.
            group.kill().unwrap_or(1) > 0 || group.remove().is_err()
        });
    }

    /// When [`Supervisor::tend_works`] has something to do.
    pub(crate) fn works_deadline(&self, now: Instant) -> Option<Instant> {
        let works = self.works.values().filter_map(|work| work.deadline);
        let leftovers = (!self.leftovers.is_empty()).then(|| now + crate::ending::AGAIN);
        // Those that share the host's PIDs leave their orphans to us, and nothing tells of their end.
        let orphans = (self.next_work > 1 && !self.tasks.is_empty()).then(|| now + ORPHANS);
        works.chain(leftovers).chain(orphans).min()
    }

    /// Whether nothing of a runtime is under way or left.
    pub(crate) fn works_are_over(&self) -> bool {
        let known =
            |t: &crate::task::Task| t.held.as_ref().is_some_and(|h| h.left != Left::Nothing);
        self.works.is_empty() && self.leftovers.is_empty() && !self.tasks.values().any(known)
    }

    /// Reaps children that are nobody's. While a runtime is making something, its process may be among them and not
    /// yet known.
    fn reap_orphans(&mut self) {
        let making = self.tasks.values().any(|t| {
            let foreign = t.pending.as_ref().is_some_and(|p| p.foreign().is_some());
            foreign && matches!(t.phase, Phase::Making(_) | Phase::Starting(_))
        });
        if making || !self.unmounts.is_empty() || self.compressing.is_some() {
            return;
        }
        while let Ok(Some(pid)) = ended_child() {
            let ours = self.works.values().any(|work| work.pid == pid)
                || self.tasks.values().any(|task| task.pid() == pid);
            if ours {
                return;
            }
            if pidfd_open(pid).and_then(try_wait).is_err() {
                return;
            }
        }
    }
}

fn late(limit: Duration) -> String {
    format!(
        "the runtime did not answer within {} s",
        limit.as_secs_f64()
    )
}

fn failure(message: impl Into<String>) -> LaunchError {
    LaunchError {
        kind: FailureKind::System,
        message: message.into(),
        errno: 0,
    }
}
