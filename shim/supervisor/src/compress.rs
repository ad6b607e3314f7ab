//! Compressing a log file that was put aside, in a short-lived child: it takes too long for this loop. One at a time.

use std::os::fd::OwnedFd;

use gantry_logs::CompressJob;
use gantry_sys::namespace::{self, Forked};
use gantry_sys::process::{close_all_but, exit_now, pidfd_send_signal, try_wait};
use nix::libc::SIGKILL;

use crate::say;
use crate::supervisor::Supervisor;

/// A child at it.
#[derive(Debug)]
pub(crate) struct Compressing {
    pub(crate) pidfd: OwnedFd,
    /// The task whose log it is.
    pub(crate) task: u32,
}

impl Supervisor {
    /// Begins with the next file there is, unless one is in the works or this is the end.
    pub(crate) fn compress_logs(&mut self) {
        if self.compressing.is_some() || self.ending.is_some() {
            return;
        }
        for (key, task) in &mut self.tasks {
            let Some(job) = task.stdio.compress_job() else {
                continue;
            };
            match in_child(job) {
                Ok(pidfd) => {
                    self.compressing = Some(Compressing { pidfd, task: *key });
                    return;
                }
                Err(e) => {
                    say(format!("compress a log of {}: {e}", task.name()));
                    task.stdio.compressed(false);
                }
            }
        }
    }

    /// The child has ended.
    pub(crate) fn compressed(&mut self) {
        let Some(compressing) = &self.compressing else {
            return;
        };
        let done = match try_wait(&compressing.pidfd) {
            Ok(None) => return,
            Ok(Some(exit)) => exit.code() == 0,
            Err(_) => false,
        };
        let key = compressing.task;
        self.compressing = None;
        // A task that is forgotten has no log to put in order.
        if let Some(task) = self.tasks.get_mut(&key) {
            if !done && self.ending.is_none() {
                say(format!("a log of {} could not be compressed", task.name()));
            }
            task.stdio.compressed(done);
        }
    }

    /// Nobody waits for it: the file stays as it is, and the next run compresses it.
    pub(crate) fn stop_compressing(&mut self) {
        if let Some(compressing) = &self.compressing {
            // Ended already is as good.
            let _ = pidfd_send_signal(&compressing.pidfd, SIGKILL);
        }
    }
}

fn in_child(job: CompressJob) -> gantry_sys::Result<OwnedFd> {
    gantry_fault::pass("supervisor.compress.before-fork");
    match namespace::fork(0, None)? {
        Forked::Child => {
            // Above all not the supervisor's lock. One thread only, so this copy may allocate.
            let done = close_all_but(&job.descriptors()).is_ok() && job.run().is_ok();
            exit_now(i32::from(!done))
        }
        Forked::Parent(_, pidfd) => Ok(pidfd),
    }
}
