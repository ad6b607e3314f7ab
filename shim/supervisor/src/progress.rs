//! From made to running: what a child says on its way, and who is told.

use std::time::{Duration, Instant};

use gantry_oci::{FailureKind, LaunchError, Progress, Ready};
use gantry_supervisor_proto::types::{self as t, Exit, Pid, Time};
use gantry_supervisor_proto::{ErrorKind, WireError};

use crate::failure;
use crate::launch::inputs::wire;
use crate::supervisor::Supervisor;
use crate::task::{Phase, Role, Waiter};

impl Supervisor {
    /// Lets a made task go; answered when it has executed.
    pub(crate) fn start(&mut self, to: Waiter, id: &str, container: bool) -> Result<(), WireError> {
        let key = if container {
            self.container(id)?
        } else {
            self.exec(id)?
        };
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        match (&task.phase, &mut task.pending) {
            (Phase::Made, Some(pending)) => {
                gantry_fault::point("supervisor.start.before-go").map_err(failure::injected)?;
                pending.go().map_err(wire)?;
                gantry_fault::pass("supervisor.start.after-go");
                task.phase = Phase::Starting(to);
                Ok(())
            }
            (Phase::Making(_), _) => Err(WireError::conflict(format!(
                "{} is being made",
                task.name()
            ))),
            (Phase::Running | Phase::Starting(_), _) => Err(WireError::new(
                ErrorKind::NotModified,
                format!("{} runs already", task.name()),
            )),
            _ => Err(WireError::conflict(format!("{} has ended", task.name()))),
        }
    }

    /// A child has said something.
    pub(crate) fn report_ready(&mut self, key: u32) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        let Some(pending) = &mut task.pending else {
            return;
        };
        match (pending.poll(), &task.phase) {
            (Ok(Progress::Waiting), _) => {}
            (Ok(Progress::Place), _) => {
                // Only asked for where somebody else places processes, which is not served here.
                let _ = pending.placed();
            }
            (Ok(Progress::Ready(ready)), Phase::Making(to)) => {
                let to = *to;
                self.made(key, to, ready);
            }
            (Ok(Progress::Running), Phase::Starting(to)) => {
                let to = *to;
                self.started(key, to);
            }
            (_, Phase::Made) => {
                // It died while blocked; its end is told when it is reaped.
                task.pending = None;
            }
            (Ok(_), _) => self.failed(
                key,
                &LaunchError {
                    kind: FailureKind::System,
                    message: "its first process died before it was ready".to_owned(),
                    errno: 0,
                },
            ),
            (Err(error), _) => self.failed(key, &error),
        }
    }

    fn made(&mut self, key: u32, to: Waiter, ready: Ready) {
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        task.rootfs = ready.rootfs;
        if let Some(console) = ready.console
            && let Err(e) = task.stdio.take_terminal(console, task.stdin)
        {
            let message = format!("take terminal: {e}");
            let kind = FailureKind::System;
            return self.failed(
                key,
                &LaunchError {
                    kind,
                    message,
                    errno: 0,
                },
            );
        }
        task.phase = Phase::Made;
        let pid = task.pid();
        if !task.is_container() {
            return self.answer(to, Ok(Pid { pid }));
        }
        match self.write_state() {
            Ok(()) => self.answer(to, Ok(Pid { pid })),
            Err(e) => {
                // A container the next gantryd would not know of must not be.
                let error = failure::io("write state", &e);
                self.answer::<t::Nothing>(to, Err(error));
                let task = self.tasks.get_mut(&key).expect("nothing was removed");
                task.silent = true;
                task.deleting.push(to);
                if let Some((_, pidfd)) = &task.process {
                    let _ = gantry_sys::process::pidfd_send_signal(pidfd, nix::libc::SIGKILL);
                }
            }
        }
    }

    fn started(&mut self, key: u32, to: Waiter) {
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        task.pending = None;
        task.phase = Phase::Running;
        self.must_trim = true;
        task.started_at = gantry_logs::clock::now();
        let (pid, at) = (task.pid(), task.started_at);
        if let Role::Exec {
            timeout_ms,
            deadline,
            ..
        } = &mut task.role
        {
            let limit = Duration::from_millis(*timeout_ms);
            *deadline = (*timeout_ms > 0).then(|| Instant::now() + limit);
            return self.answer(to, Ok(Pid { pid }));
        }
        self.note_state();
        self.answer(to, Ok(Time { at }));
    }

    /// A child could not do it: answered now, forgotten (or, for a container that was made, kept as ended) when reaped.
    fn failed(&mut self, key: u32, error: &LaunchError) {
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        task.pending = None;
        task.silent = true;
        let answer = wire(error.clone());
        let to = match task.phase {
            Phase::Making(to) => Some(to),
            Phase::Starting(to) => {
                task.exit = Some(Exit {
                    code: error.kind.docker_exit_code(),
                    at: gantry_logs::clock::now(),
                    ..Exit::default()
                });
                Some(to)
            }
            _ => None,
        };
        // Whatever it still does, it ends now.
        if let Some((_, pidfd)) = &task.process {
            let _ = gantry_sys::process::pidfd_send_signal(pidfd, nix::libc::SIGKILL);
        }
        if let Some(to) = to {
            self.answer::<t::Nothing>(to, Err(answer));
        }
    }
}
