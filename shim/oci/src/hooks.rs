//! Hooks of a configuration: programs that are told the container's state on standard input, run one after the other,
//! with the environment they name and no other, in `/`, for no longer than they may.

use crate::error::{FailureKind, LaunchError, Result};
use gantry_sys::namespace::{self, Forked};
use gantry_sys::process::{self, Exit};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use oci_spec::runtime::{Hook, Hooks};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// Most that is kept of what a hook prints, for the error that names it.
const OUTPUT: usize = 1024;

/// The version of the runtime specification that states and features name.
pub(crate) const VERSION: &str = "1.2.0";

/// The state document of the runtime specification.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification.
    pub oci_version: &'static str,
    /// The container's id.
    pub id: String,
    /// `creating`, `created`, `running` or `stopped`.
    pub status: &'static str,
    /// The first process, in the PID namespace of whoever is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Folder of the configuration.
    pub bundle: std::path::PathBuf,
    /// Annotations of the configuration.
    pub annotations: BTreeMap<String, String>,
}

impl State {
    pub(crate) fn new(launch: &crate::Launch<'_>, status: &'static str, pid: i32) -> Self {
        let annotations = launch.spec.annotations().iter().flatten();
        Self {
            oci_version: VERSION,
            id: launch.id.into(),
            status,
            pid: Some(pid),
            bundle: launch.bundle.into(),
            annotations: annotations.map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }
}

/// When a hook is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the user's program, in the runtime's namespaces; the older name of the next.
    Prestart,
    /// The environment is made, its root is not entered yet; in the runtime's namespaces.
    CreateRuntime,
    /// The same moment, in the container's namespaces; the program is the host's.
    CreateContainer,
    /// Just before the user's program, inside the container.
    StartContainer,
    /// After the user's program began, in the runtime's namespaces.
    Poststart,
    /// After the container was deleted, in the runtime's namespaces.
    Poststop,
}

impl Stage {
    /// Its name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];
}

/// The hooks of one stage.
#[must_use]
pub fn of(hooks: Option<&Hooks>, stage: Stage) -> &[Hook] {
    let Some(hooks) = hooks else { return &[] };
    #[allow(deprecated)] // still to be run
    let list = match stage {
        Stage::Prestart => hooks.prestart(),
        Stage::CreateRuntime => hooks.create_runtime(),
        Stage::CreateContainer => hooks.create_container(),
        Stage::StartContainer => hooks.start_container(),
        Stage::Poststart => hooks.poststart(),
        Stage::Poststop => hooks.poststop(),
    };
    list.as_deref().unwrap_or_default()
}

/// What cannot be right in any of them.
pub(crate) fn check(hooks: Option<&Hooks>) -> Result<()> {
    for stage in Stage::ALL {
        for (number, hook) in of(hooks, stage).iter().enumerate() {
            let bad = |why: &str| {
                let path = hook.path().display();
                LaunchError::spec(format!("{} hook {number} ({path}): {why}", stage.name()))
            };
            if !hook.path().is_absolute() {
                return Err(bad("its path is not absolute"));
            }
            if hook.timeout().is_some_and(|t| t <= 0) {
                return Err(bad("its time limit is not above zero"));
            }
        }
    }
    Ok(())
}

/// Runs the hooks of a stage in their order, and stops at the first that fails. The **caller must be single-threaded**.
///
/// # Errors
/// Which hook failed, how, and what it printed.
pub fn run(
    hooks: Option<&Hooks>,
    stage: Stage,
    state: &State,
) -> std::result::Result<(), LaunchError> {
    run_as(of(hooks, stage), stage, state, &|| Ok(()))
}

/// The same for stages whose failures are told and passed over: each failure is handed to `told`.
pub fn run_all(
    hooks: Option<&Hooks>,
    stage: Stage,
    state: &State,
    mut told: impl FnMut(&LaunchError),
) {
    for (number, hook) in of(hooks, stage).iter().enumerate() {
        if let Err(e) = one(hook, number, stage, state, &|| Ok(())) {
            told(&e);
        }
    }
}

/// Runs hooks whose processes first do `prepare` (what is given up before the program inside a container).
pub(crate) fn run_as(
    list: &[Hook],
    stage: Stage,
    state: &State,
    prepare: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let mut numbered = list.iter().enumerate();
    numbered.try_for_each(|(number, hook)| one(hook, number, stage, state, prepare))
}

fn one(
    hook: &Hook,
    number: usize,
    stage: Stage,
    state: &State,
    prepare: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let failed = |why: String| {
        let path = hook.path().display();
        let message = format!("{} hook {number} ({path}) {why}", stage.name());
        LaunchError::new(FailureKind::System, message)
    };
    let system = |what: &str, e| LaunchError::from(gantry_sys::Error::new(what, e));
    let input = input(state)?;
    let (output, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(|e| system("make pipe for a hook", e))?;
    match namespace::fork(0, None)? {
        Forked::Child => {
            let error = child(hook, &input, &theirs, prepare);
            let _ = nix::unistd::write(std::io::stderr(), error.message.as_bytes());
            process::exit_now(127)
        }
        Forked::Parent(pid, pidfd) => {
            drop(theirs);
            let limit = hook.timeout().and_then(|t| u64::try_from(t).ok());
            let end = limit.map(|t| Instant::now() + Duration::from_secs(t));
            let (exit, text) = watch(pid, &pidfd, &output, end)?;
            let said = if text.is_empty() {
                String::new()
            } else {
                format!(": {text}")
            };
            match exit {
                None => {
                    let seconds = limit.unwrap_or(0);
                    Err(failed(format!("did not end within {seconds} s{said}")))
                }
                Some(Exit::Code(0)) => Ok(()),
                Some(Exit::Code(code)) => Err(failed(format!("ended with code {code}{said}"))),
                Some(Exit::Signal(signal)) => {
                    Err(failed(format!("was killed by signal {signal}{said}")))
                }
            }
        }
    }
}

/// The state as a file without a name: a hook need not read it, and nothing waits if it does not.
fn input(state: &State) -> Result<OwnedFd> {
    let text = serde_json::to_vec(state).map_err(|e| LaunchError::spec(e.to_string()))?;
    let made = memfd_create(c"state", MFdFlags::MFD_CLOEXEC);
    let made = made.map_err(|e| gantry_sys::Error::new("make file for a hook", e))?;
    let mut file = std::fs::File::from(made);
    let wrote = file.write_all(&text).and_then(|()| file.rewind());
    wrote.map_err(|e| gantry_sys::Error::from_io("write state for a hook", &e))?;
    Ok(file.into())
}

fn child(
    hook: &Hook,
    input: &OwnedFd,
    output: &OwnedFd,
    prepare: &dyn Fn() -> Result<()>,
) -> LaunchError {
    let run = || -> Result<std::convert::Infallible> {
        process::reset_signals()?;
        // A group of its own, to be killed as a whole.
        let _ = nix::unistd::setsid();
        process::set_stdio([input.as_fd(), output.as_fd(), output.as_fd()])?;
        prepare()?;
        process::cloexec_from(3)?;
        nix::unistd::chdir("/").map_err(|e| gantry_sys::Error::new("enter /", e))?;
        let text = |s: &[u8]| CString::new(s).map_err(|_| LaunchError::spec("a NUL byte"));
        let path = text(hook.path().as_os_str().as_bytes())?;
        let list = |l: &Option<Vec<String>>| -> Result<Vec<CString>> {
            l.iter().flatten().map(|s| text(s.as_bytes())).collect()
        };
        let (mut args, env) = (list(hook.args())?, list(hook.env())?);
        if args.is_empty() {
            args.push(path.clone());
        }
        let args: Vec<&CStr> = args.iter().map(CString::as_c_str).collect();
        let env: Vec<&CStr> = env.iter().map(CString::as_c_str).collect();
        Err(process::execve(&path, &args, &env).into())
    };
    match run() {
        Err(e) => e,
        Ok(never) => match never {},
    }
}

/// Waits for the end (`None`: it was killed at its limit) and keeps the beginning of what was printed. What a
/// descendant that stays behind prints later is nobody's.
fn watch(
    pid: i32,
    pidfd: &OwnedFd,
    output: &OwnedFd,
    end: Option<Instant>,
) -> Result<(Option<Exit>, String)> {
    let mut text = Vec::new();
    let mut open = true;
    let exit = loop {
        let left = end.map(|e| e.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            let group = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
            process::pidfd_send_signal(pidfd, libc::SIGKILL)?;
            process::wait(pidfd)?;
            break None;
        }
        let wait = left.map_or(PollTimeout::NONE, |l| {
            PollTimeout::try_from(l.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [
            PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(output.as_fd(), PollFlags::POLLIN),
        ];
        let watched = if open { &mut fds[..] } else { &mut fds[..1] };
        let _ = poll(watched, wait);
        let (ended, said) = (
            fds[0].any() == Some(true),
            open && fds[1].any() == Some(true),
        );
        if said {
            open = take(output, &mut text);
        }
        if ended {
            break Some(process::wait(pidfd)?);
        }
    };
    while open && readable(output) {
        open = take(output, &mut text);
    }
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Ok((exit, text))
}

fn readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

/// Whether there may be more.
fn take(fd: &OwnedFd, text: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 512];
    let Ok(n) = nix::unistd::read(fd, &mut buffer) else {
        return false;
    };
    let room = OUTPUT.saturating_sub(text.len());
    text.extend_from_slice(&buffer[..n.min(room)]);
    n > 0
}

/// Whether any stage before the start is run in the runtime's namespaces.
pub(crate) fn needs_runner(hooks: Option<&Hooks>) -> bool {
    [Stage::Prestart, Stage::CreateRuntime]
        .iter()
        .any(|s| !of(hooks, *s).is_empty())
}

/// The life of the process that stays in the caller's namespaces to run hooks when the container's child says so.
pub(crate) fn serve(launch: &crate::Launch<'_>, pid: i32, socket: &OwnedFd) -> ! {
    let mut word = [0; 4];
    let asked = gantry_sys::fdpass::recv(socket, &mut word);
    if asked.is_ok_and(|got| got.len > 0) {
        let hooks = launch.spec.hooks().as_ref();
        let state = State::new(launch, "creating", pid);
        // The older stage was once part of the start, and hooks of that time look for its status.
        let before = State::new(launch, "created", pid);
        let done = run(hooks, Stage::Prestart, &before)
            .and_then(|()| run(hooks, Stage::CreateRuntime, &state));
        let answer = match done {
            Ok(()) => b"k".to_vec(),
            Err(e) => serde_json::to_vec(&e).unwrap_or_default(),
        };
        let _ = gantry_sys::fdpass::send(socket, &answer, &[]);
    }
    process::exit_now(0)
}

/// The container's child asks for them and waits.
pub(crate) fn ask(socket: &OwnedFd) -> Result<()> {
    gantry_sys::fdpass::send(socket, b"h", &[])?;
    let mut buffer = vec![0; crate::pending::PACKET];
    let got = gantry_sys::fdpass::recv(socket, &mut buffer)?;
    match &buffer[..got.len] {
        b"k" => Ok(()),
        text => Err(serde_json::from_slice(text).unwrap_or_else(|_| {
            LaunchError::new(FailureKind::System, "whoever runs the hooks is gone")
        })),
    }
}

/// For `createContainer`: the program's path is the host's, from which the child's own root still is.
pub(crate) fn create_container(launch: &crate::Launch<'_>) -> Result<()> {
    let hooks = launch.spec.hooks().as_ref();
    let list = of(hooks, Stage::CreateContainer);
    if list.is_empty() {
        return Ok(());
    }
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let state = State::new(launch, "creating", pid);
    run_as(list, Stage::CreateContainer, &state, &|| Ok(()))
}

#[cfg(test)]
mod tests;
