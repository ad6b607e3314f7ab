//! Execs.

use std::time::Duration;

use gantry_model::container::UserSpec;
use gantry_model::supervisor::{AttachStreams, Attached, WindowSize};
use gantry_model::{ContainerId, Error, ExecId, Result};

use crate::Engine;

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `KEY=value` over the container's.
    pub env: Vec<String>,
    /// Empty: the container's.
    pub cwd: String,
    /// Empty: the container's.
    pub user: Option<UserSpec>,
    /// All capabilities.
    pub privileged: bool,
    /// Has a terminal.
    pub terminal: bool,
    /// What the starter will attach.
    pub streams: AttachStreams,
}

/// An exec for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecView {
    /// Id.
    pub id: ExecId,
    /// Its container.
    pub container: ContainerId,
    /// What runs.
    pub spec: ExecSpec,
    /// Runs now.
    pub running: bool,
    /// Pid on the host, 0 before its start.
    pub pid: i32,
    /// Exit code when it ended.
    pub exit_code: Option<i32>,
}

/// Result of a whole exec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Output.
    pub stdout: Vec<u8>,
    /// Output.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub exit_code: i32,
}

impl Engine {
    /// Records an exec to be started.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the container does not run or is paused, `InvalidArgument` for an empty command.
    pub fn create_exec(&self, id: &ContainerId, spec: ExecSpec) -> Result<ExecId> {
        let _ = (id, spec);
        Err(Error::unimplemented("create exec"))
    }

    /// Starts it, attached before it is let go. With no stream asked for, the attachment carries nothing and may be
    /// dropped (detached exec).
    ///
    /// # Errors
    /// `Conflict` when it was started before, `CommandNotFound`, `CommandNotExecutable`.
    pub async fn start_exec(
        &self,
        id: &ExecId,
        streams: AttachStreams,
        size: Option<WindowSize>,
    ) -> Result<Attached> {
        let _ = (id, streams, size);
        Err(Error::unimplemented("start exec"))
    }

    /// Sets its terminal's size.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn resize_exec(&self, id: &ExecId, size: WindowSize) -> Result<()> {
        let _ = (id, size);
        Err(Error::unimplemented("resize exec"))
    }

    /// By id or unambiguous prefix.
    ///
    /// # Errors
    /// `NotFound` (`No such exec instance: …`).
    pub fn find_exec(&self, reference: &str) -> Result<ExecView> {
        Err(Error::not_found(format!(
            "No such exec instance: {reference}"
        )))
    }

    /// Returns when the exec has ended, with its exit code.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable` when the supervisor died with it.
    pub async fn wait_exec(&self, id: &ExecId) -> Result<i32> {
        let _ = id;
        Err(Error::unimplemented("wait exec"))
    }

    /// Runs a command to its end and collects its output, at most `limit` bytes per stream (what is over is dropped).
    /// `timeout` zero means none; the supervisor keeps it and kills the whole tree.
    ///
    /// # Errors
    /// As [`Engine::start_exec`]; `DeadlineExceeded` when the time ran out.
    pub async fn run_exec(
        &self,
        id: &ContainerId,
        spec: ExecSpec,
        timeout: Duration,
        limit: usize,
    ) -> Result<ExecOutput> {
        let _ = (id, spec, timeout, limit);
        Err(Error::unimplemented("run exec"))
    }
}
