//! What is done to a task that runs: attach, signal, freeze, resize, read its figures.

use gantry_supervisor_proto::types::{self as t, Nothing, Target};
use gantry_supervisor_proto::{ErrorKind, WireError};
use gantry_sys::cgroup::Group;
use gantry_sys::process::pidfd_send_signal;

use crate::client::Wants;
use crate::failure;
use crate::runtime::Launching;
use crate::supervisor::Supervisor;
use crate::task::{Phase, Role, Task, Waiter};

type Result<T> = std::result::Result<T, WireError>;

impl Supervisor {
    pub(crate) fn target(&mut self, target: &Target) -> Result<&mut Task> {
        let key = match target {
            Target::Container(id) => self.container(id)?,
            Target::Exec(id) => self.exec(id)?,
        };
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        if task.is_ended() {
            return Err(WireError::conflict(format!("{} has ended", task.name())));
        }
        Ok(task)
    }

    pub(crate) fn attach(&mut self, to: Waiter, body: &t::Attach) {
        let wants = Wants {
            stdin: body.stdin,
            stdout: body.stdout,
            stderr: body.stderr,
        };
        let attached = self.target(&body.target).and_then(|task| {
            let attached = task.stdio.attach(wants);
            attached.map_err(|e| failure::io(format!("attach to {}", task.name()), &e))
        });
        match attached {
            Ok(fd) => self.answer_with(to, Ok(Nothing {}), vec![fd]),
            Err(error) => self.answer::<Nothing>(to, Err(error)),
        }
    }

    /// Signals; `None`: another runtime was asked to, and what it says is the answer.
    pub(crate) fn kill(&mut self, to: Waiter, body: &t::Kill) -> Result<Option<()>> {
        let key = self.container(&body.id)?;
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        let Some((_, pidfd)) = &task.process else {
            return Err(WireError::conflict(format!(
                "{} is not running",
                task.name()
            )));
        };
        gantry_fault::point("supervisor.kill.before-signal").map_err(failure::injected)?;
        if task.held.is_some() && !body.all {
            return self.begin_kill(to, key, body.signal).map(|()| None);
        }
        if body.all {
            let pids = task.group.as_ref().map_or(Ok(Vec::new()), Group::processes);
            for pid in pids.map_err(failure::sys)? {
                // One that has gone meanwhile needs no signal.
                let _ = gantry_sys::process::pidfd_open(pid)
                    .and_then(|pidfd| pidfd_send_signal(&pidfd, body.signal));
            }
        } else {
            pidfd_send_signal(pidfd, body.signal)
                .map_err(|e| WireError::invalid(format!("kill {}: {e}", task.name())))?;
        }
        gantry_fault::pass("supervisor.kill.after-signal");
        if body.signal == nix::libc::SIGKILL {
            // A frozen process dies only when it is thawed.
            self.thaw(key);
        }
        Ok(Some(()))
    }

    pub(crate) fn thaw(&mut self, key: u32) {
        if let Some(task) = self.tasks.get_mut(&key)
            && let Role::Container { paused, .. } = &mut task.role
            && *paused
            && let Some(group) = &task.group
            && group.thaw().is_ok()
        {
            *paused = false;
        }
    }

    pub(crate) fn set_paused(&mut self, id: &str, freeze: bool) -> Result<()> {
        let key = self.container(id)?;
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        let name = task.name();
        let Role::Container { paused, .. } = &mut task.role else {
            return Err(WireError::internal(format!("{name} is no container")));
        };
        if !matches!(task.phase, Phase::Running) {
            return Err(WireError::conflict(format!("{name} is not running")));
        }
        if *paused == freeze {
            let state = if freeze {
                "paused already"
            } else {
                "not paused"
            };
            return Err(WireError::new(
                ErrorKind::NotModified,
                format!("{name} is {state}"),
            ));
        }
        let group = task.group.as_ref().ok_or_else(|| {
            WireError::new(
                ErrorKind::FailedPrecondition,
                format!("{name} has no cgroup"),
            )
        })?;
        if freeze { group.freeze() } else { group.thaw() }.map_err(failure::sys)?;
        *paused = freeze;
        self.note_state();
        Ok(())
    }

    pub(crate) fn resize(&mut self, body: &t::Resize) -> Result<()> {
        let task = self.target(&body.target)?;
        if task.stdio.terminal().is_none()
            && let Some(foreign) = task.pending.as_mut().and_then(Launching::foreign_mut)
            && foreign.terminal
        {
            // Another runtime makes it at the start only.
            foreign.size = Some((body.rows, body.columns));
            return Ok(());
        }
        let terminal = task.stdio.terminal().ok_or_else(|| {
            WireError::new(
                ErrorKind::FailedPrecondition,
                format!("{} has no terminal", task.name()),
            )
        })?;
        gantry_sys::pty::resize(terminal, body.rows, body.columns).map_err(failure::sys)
    }

    pub(crate) fn reopen_log(&mut self, id: &str) -> Result<()> {
        // Of one that has ended no file would be made, and success says that there is one.
        let task = self.target(&Target::Container(id.to_owned()))?;
        task.stdio
            .reopen_log()
            .map_err(|e| failure::io(format!("reopen log of {}", task.name()), &e))
    }
}
