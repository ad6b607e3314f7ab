//! Execs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_model::container::UserSpec;
use gantry_model::state::State;
use gantry_model::supervisor::{
    AttachStreams, Attached, ExecLaunch, Exit, Supervisor, Target, WindowSize,
};
use gantry_model::{ContainerId, Error, ExecId, Result};
use tokio::sync::watch;

use crate::Engine;
use crate::effect::config;
use crate::exec::{ExecEntry, ExecState};
use crate::inner::{DRIVER_TIMEOUT, Inner, lock};

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
        let inner = &self.inner;
        let container = inner.container(id)?;
        match container.state {
            State::Running => {}
            State::Paused => {
                return Err(Error::conflict(format!(
                    "container {id} is paused, unpause the container before exec"
                )));
            }
            _ => return Err(Error::conflict(format!("container {id} is not running"))),
        }
        if spec.command.first().is_none_or(String::is_empty) {
            return Err(Error::invalid("No exec command specified"));
        }
        let exec = ExecId::from_random(inner.host.random());
        let entry = ExecEntry {
            id: exec.clone(),
            container: id.clone(),
            spec,
            state: watch::channel(ExecState::Created).0,
            early: Mutex::new(None),
        };
        lock(&inner.execs).insert(exec.clone(), Arc::new(entry));
        Ok(exec)
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
        let entry = self.inner.exec(id)?;
        entry.claim()?;
        let result = start(&self.inner, &entry, streams, size, Duration::ZERO).await;
        if let Err(error) = &result {
            entry.started(0);
            entry.ended(&Exit {
                code: exit_code_of(error),
                at: self.inner.now(),
                ..Exit::default()
            });
        }
        result
    }

    /// Sets its terminal's size.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn resize_exec(&self, id: &ExecId, size: WindowSize) -> Result<()> {
        let entry = self.inner.exec(id)?;
        let handle = self.inner.supervisor_of(&entry.container).await?;
        handle
            .resize(
                &self.inner.call(DRIVER_TIMEOUT),
                &Target::Exec(id.clone()),
                size,
            )
            .await
    }

    /// By id or unambiguous prefix.
    ///
    /// # Errors
    /// `NotFound` (`No such exec instance: …`).
    pub fn find_exec(&self, reference: &str) -> Result<ExecView> {
        let execs = lock(&self.inner.execs);
        let mut matching = execs
            .values()
            .filter(|e| !reference.is_empty() && e.id.as_str().starts_with(reference));
        match (matching.next(), matching.next()) {
            (Some(entry), None) => Ok(entry.view()),
            _ => Err(Error::not_found(format!(
                "No such exec instance: {reference}"
            ))),
        }
    }

    /// Execs of a container that have not ended.
    pub fn execs_of(&self, id: &ContainerId) -> Vec<ExecId> {
        let execs = lock(&self.inner.execs);
        let open =
            |entry: &&Arc<ExecEntry>| entry.container == *id && entry.view().exit_code.is_none();
        execs
            .values()
            .filter(open)
            .map(|entry| entry.id.clone())
            .collect()
    }

    /// Returns when the exec has ended, with its exit code.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable` when the supervisor died with it.
    pub async fn wait_exec(&self, id: &ExecId) -> Result<i32> {
        let entry = self.inner.exec(id)?;
        let exit = ended(&entry).await;
        if exit.unknown {
            return Err(Error::unavailable(format!(
                "exec {id}: its supervisor died, how it ended is not known"
            )));
        }
        Ok(exit.code)
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
        let command = spec.command.join(" ");
        let exec = self.create_exec(id, spec)?;
        let entry = self.inner.exec(&exec)?;
        let result = self.run_entry(&entry, timeout, limit).await;
        lock(&self.inner.execs).remove(&exec);
        let (output, exit) = result?;
        if exit.timed_out {
            let seconds = timeout.as_secs_f64();
            return Err(Error::deadline(format!(
                "command \"{command}\" timed out after {seconds} s"
            )));
        }
        Ok(output)
    }

    async fn run_entry(
        &self,
        entry: &Arc<ExecEntry>,
        timeout: Duration,
        limit: usize,
    ) -> Result<(ExecOutput, Exit)> {
        entry.claim()?;
        let streams = AttachStreams {
            stdin: false,
            stdout: true,
            stderr: true,
        };
        let mut attached = start(&self.inner, entry, streams, None, timeout).await?;
        let mut output = ExecOutput::default();
        while let Some(piece) = attached.output.recv().await {
            let stream = if piece.stderr {
                &mut output.stderr
            } else {
                &mut output.stdout
            };
            let room = limit.saturating_sub(stream.len()).min(piece.bytes.len());
            stream.extend_from_slice(&piece.bytes[..room]);
        }
        let exit = ended(entry).await;
        output.exit_code = exit.code;
        Ok((output, exit))
    }
}

async fn ended(entry: &ExecEntry) -> Exit {
    let mut state = entry.state.subscribe();
    let ended = state
        .wait_for(|state| matches!(state, ExecState::Ended { .. }))
        .await;
    match ended.map(|state| state.clone()) {
        Ok(ExecState::Ended { exit, .. }) => exit,
        _ => Exit {
            code: 255,
            unknown: true,
            ..Exit::default()
        },
    }
}

fn exit_code_of(error: &Error) -> i32 {
    match error.kind {
        gantry_model::ErrorKind::CommandNotFound => 127,
        _ => 126,
    }
}

async fn start(
    inner: &Arc<Inner>,
    entry: &ExecEntry,
    streams: AttachStreams,
    size: Option<WindowSize>,
    timeout: Duration,
) -> Result<Attached> {
    let container = inner.container(&entry.container)?;
    let handle: Arc<dyn Supervisor> = inner.supervisor_of(&entry.container).await?;
    let image = inner.images.details(&container.image).await?;
    let facts = match &container.pod {
        Some(pod) => config::Facts::of_pod(inner.sandbox(pod)?.as_ref()),
        None => config::Facts::of_container(&container),
    };
    let spec = &entry.spec;
    let process = gantry_spec::exec_process(
        &config::input(inner, &container, &image.config, &facts, &[]),
        &gantry_spec::ExecInput {
            command: &spec.command,
            env: &spec.env,
            cwd: &spec.cwd,
            user: spec.user.as_ref(),
            privileged: spec.privileged,
            terminal: spec.terminal,
        },
    )?;
    let call = inner.call(DRIVER_TIMEOUT);
    let launch = ExecLaunch {
        id: entry.id.clone(),
        container: entry.container.clone(),
        process,
        terminal: spec.terminal,
        stdin: streams.stdin,
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        tied: false,
        output_limit: 0,
    };
    handle.exec_create(&call, &launch).await?;
    let target = Target::Exec(entry.id.clone());
    let attached = handle.attach(&call, &target, streams).await?;
    if let Some(size) = size {
        handle.resize(&call, &target, size).await?;
    }
    entry.started(handle.exec_start(&call, &entry.id).await?);
    Ok(attached)
}
