//! From made to running: what a child says on its way, and who is told.

use std::time::{Duration, Instant};

use gantry_oci::{FailureKind, LaunchError};
use gantry_supervisor_proto::types::{self as t, Exit, Pid, Time};
use gantry_supervisor_proto::{ErrorKind, WireError};

use crate::failure;
use crate::launch::inputs::wire;
use crate::runtime::{Made, Progress};
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
                let work = pending.foreign().map(|f| f.work);
                task.phase = Phase::Starting(to);
                if let Some(work) = work.and_then(|key| self.works.get_mut(&key)) {
                    work.deadline = Some(Instant::now() + work.limit);
                }
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
            (Ok(Progress::Running(made)), Phase::Starting(to)) => {
                let to = *to;
                self.started(key, to, made);
            }
            (Err(error), Phase::Made) if pending.foreign().is_some() => self.failed(key, &error),
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

    fn made(&mut self, key: u32, to: Waiter, mut ready: Made) {
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        task.rootfs = ready.rootfs.take();
        if let Err(error) = self.take_process(key, ready) {
            return self.failed(key, &error);
        }
        let task = self.tasks.get_mut(&key).expect("nothing was removed");
        if let Some(foreign) = task.pending.as_ref().and_then(|p| p.foreign())
            && let Some(work) = self.works.get_mut(&foreign.work)
        {
            // It waits for us now.
            work.deadline = None;
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

    /// Takes what another runtime has made, and the terminal whoever made it.
    fn take_process(&mut self, key: u32, made: Made) -> Result<(), LaunchError> {
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        if let Some(process) = made.process {
            task.process = Some(process);
        }
        let Some(console) = made.console else {
            return Ok(());
        };
        let failed = |e: &dyn std::fmt::Display| LaunchError {
            kind: FailureKind::System,
            message: format!("take terminal: {e}"),
            errno: 0,
        };
        let taken = task.stdio.take_terminal(console, task.stdin);
        taken.map_err(|e| failed(&e))?;
        let foreign = task.pending.as_ref().and_then(|p| p.foreign());
        match (foreign.and_then(|f| f.size), task.stdio.terminal()) {
            (Some((rows, columns)), Some(terminal)) => {
                gantry_sys::pty::resize(terminal, rows, columns).map_err(|e| failed(&e))
            }
            _ => Ok(()),
        }
    }

    fn started(&mut self, key: u32, to: Waiter, made: Made) {
        if let Err(error) = self.take_process(key, made) {
            return self.failed(key, &error);
        }
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
    pub(crate) fn failed(&mut self, key: u32, error: &LaunchError) {
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        let pending = task.pending.take();
        let foreign = pending.as_ref().and_then(|p| p.foreign());
        task.silent = !matches!(task.phase, Phase::Made);
        if let Some(foreign) = foreign {
            if let Some(work) = self.works.get(&foreign.work) {
                work.kill();
            }
            task.stdio.discard();
        }
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
        let nobody = task.process.is_none();
        if let Some(to) = to {
            self.answer::<t::Nothing>(to, Err(answer));
        }
        if nobody {
            self.never_was(key);
        }
    }

    /// Ends a task no process of which will ever be reaped.
    pub(crate) fn never_was(&mut self, key: u32) {
        let now = Instant::now();
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        match (&task.phase, &mut task.held) {
            (Phase::Making(_), Some(held)) => {
                held.abandoned = true;
                task.phase = Phase::Ended;
                task.kill_again = Some(now);
                self.begin_delete(key);
            }
            (Phase::Making(_), None) => self.forget(key),
            _ => {
                task.exit.get_or_insert(Exit {
                    code: 128 + nix::libc::SIGKILL,
                    at: gantry_logs::clock::now(),
                    ..Exit::default()
                });
                task.phase = Phase::Draining(now);
                self.try_end(key, now);
            }
        }
    }
}
