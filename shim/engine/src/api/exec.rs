//! Execs.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::container::UserSpec;
use gantry_model::image::Origin;
use gantry_model::state::State;
use gantry_model::supervisor::{
    AttachStreams, Attached, ExecLaunch, Exit, Supervisor, Target, WindowSize,
};
use gantry_model::{ContainerId, Error, ExecId, Result};

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
    /// The door's own; not looked at.
    pub door_data: String,
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
            _ if container.restart.due.is_some() => {
                return Err(Error::conflict(format!(
                    "Container {id} is restarting, wait until the container is running"
                )));
            }
            _ => return Err(Error::conflict(format!("container {id} is not running"))),
        }
        if spec.command.first().is_none_or(String::is_empty) {
            return Err(Error::invalid("No exec command specified"));
        }
        let exec = ExecId::from_random(inner.host.random());
        let told = container.origin == Origin::Docker;
        let entry = Arc::new(ExecEntry::new(exec.clone(), id.clone(), spec, told));
        lock(&inner.execs).insert(Arc::clone(&entry));
        inner.tell_exec(&entry, &format!("exec_create: {}", entry.words()), &[]);
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
        let inner = Arc::clone(&self.inner);
        let entry = inner.exec(id)?;
        let how = How {
            streams,
            size,
            timeout: Duration::ZERO,
            tied: false,
            output_limit: 0,
        };
        crate::run_to_end(async move { begin(&inner, &entry, how).await }).await
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
        let mut execs = lock(&self.inner.execs);
        let mut matching = execs
            .all()
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
        let mut execs = lock(&self.inner.execs);
        let open =
            |entry: &&Arc<ExecEntry>| entry.container == *id && entry.view().exit_code.is_none();
        execs
            .all()
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
        let inner = Arc::clone(&self.inner);
        let (output, exit) = crate::run_to_end(async move {
            let entry = inner.exec(&exec)?;
            let result = run_entry(&inner, &entry, timeout, limit).await;
            lock(&inner.execs).remove(&exec);
            result
        })
        .await?;
        if exit.timed_out {
            let seconds = timeout.as_secs_f64();
            return Err(Error::deadline(format!(
                "command \"{command}\" timed out after {seconds} s"
            )));
        }
        Ok(output)
    }
}

async fn run_entry(
    inner: &Arc<Inner>,
    entry: &Arc<ExecEntry>,
    timeout: Duration,
    limit: usize,
) -> Result<(ExecOutput, Exit)> {
    let how = How {
        streams: AttachStreams {
            stdin: false,
            stdout: true,
            stderr: true,
        },
        size: None,
        timeout,
        tied: false,
        output_limit: limit as u64,
    };
    let mut attached = begin(inner, entry, how).await?;
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

/// Returns when it has ended.
pub(crate) async fn ended(entry: &ExecEntry) -> Exit {
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

/// How an exec is started.
pub(crate) struct How {
    pub(crate) streams: AttachStreams,
    pub(crate) size: Option<WindowSize>,
    /// Zero: none.
    pub(crate) timeout: Duration,
    /// It ends with this daemon.
    pub(crate) tied: bool,
    /// Bytes per stream; 0: all.
    pub(crate) output_limit: u64,
}

/// Starts an exec that was made, once. Runs in a task of its own: a caller that goes away must not leave it between
/// made and started.
pub(crate) async fn begin(
    inner: &Arc<Inner>,
    entry: &Arc<ExecEntry>,
    how: How,
) -> Result<Attached> {
    entry.claim()?;
    inner.tell_exec(entry, &format!("exec_start: {}", entry.words()), &[]);
    let run = inner
        .container(&entry.container)
        .ok()
        .and_then(|container| container.run.as_ref().map(|run| run.number));
    match start(inner, entry, how).await {
        Ok((attached, pid)) => {
            if let Some(exit) = entry.started(pid) {
                inner.exec_over(entry, &exit);
            }
            Ok(attached)
        }
        Err(error) => {
            let exit = Exit {
                code: exit_code_of(&error),
                at: inner.now(),
                ..Exit::default()
            };
            entry.started(0);
            entry.ended(&exit);
            inner.exec_over(entry, &exit);
            Err(explained(inner, &entry.container, run, error).await)
        }
    }
}

/// How long the end of a container may take to be told after an exec has felt it: its last output is read before.
const ENDS: Duration = Duration::from_secs(3);

/// An exec whose container's run ends at that moment fails in many ways, and for one reason.
async fn explained(inner: &Arc<Inner>, id: &ContainerId, run: Option<u32>, error: Error) -> Error {
    use gantry_model::ErrorKind::{Internal, NotFound, Unavailable, Unknown};
    if !matches!(error.kind, Internal | NotFound | Unavailable | Unknown) {
        return error;
    }
    let ended = match inner.watch(id) {
        Ok(mut seen) => {
            // The next run may have begun before anybody looks.
            let over = seen.wait_for(|seen| {
                let now = seen.container.run.as_ref().map(|run| run.number);
                seen.removed || !seen.container.state.is_live() || now != run
            });
            tokio::time::timeout(ENDS, over).await.is_ok()
        }
        Err(_) => true,
    };
    if ended {
        Error::conflict(format!("container {id} is not running"))
    } else {
        error
    }
}

fn exit_code_of(error: &Error) -> i32 {
    match error.kind {
        gantry_model::ErrorKind::CommandNotFound => 127,
        _ => 126,
    }
}

async fn start(inner: &Arc<Inner>, entry: &ExecEntry, how: How) -> Result<(Attached, i32)> {
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
        stdin: how.streams.stdin,
        // Rounded up: 0 would be no deadline at all.
        timeout_ms: u64::try_from(how.timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
        tied: how.tied,
        output_limit: how.output_limit,
    };
    gantry_fault::point("engine.exec.before-create")?;
    handle.exec_create(&call, &launch).await?;
    gantry_fault::point("engine.exec.after-create")?;
    let target = Target::Exec(entry.id.clone());
    let attached = handle.attach(&call, &target, how.streams).await?;
    if let Some(size) = how.size {
        handle.resize(&call, &target, size).await?;
    }
    gantry_fault::point("engine.exec.before-start")?;
    let pid = handle.exec_start(&call, &entry.id).await?;
    gantry_fault::pass("engine.exec.after-start");
    Ok((attached, pid))
}
