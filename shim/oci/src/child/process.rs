//! The second half of every launch, for a container's first process and an exec alike: user, directory, command,
//! ready, go, filter, capabilities, exec.

use super::listener::Listener;
use super::report::Report;
use super::{command, credentials, identity, label, priority};
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::hooks::{self, Stage, State};
use crate::launch::Launch;
use gantry_sys::beneath::{self, Links};
use gantry_sys::{Errno, caps, process as sys};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use oci_spec::runtime::{LinuxSeccomp, Process};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What cannot be right in a process, told before anything is cloned.
pub(crate) fn check(process: &Process) -> Result<()> {
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(LaunchError::spec("the process has no arguments"));
    }
    if !process.cwd().is_absolute() {
        return Err(LaunchError::spec(format!(
            "working directory {} is not absolute",
            process.cwd().display()
        )));
    }
    let mut limits: Vec<_> = process
        .rlimits()
        .iter()
        .flatten()
        .map(|l| l.typ())
        .collect();
    let all = limits.len();
    limits.sort_by_key(|t| *t as u32);
    limits.dedup();
    if limits.len() != all {
        return Err(LaunchError::spec("process.rlimits names a limit twice"));
    }
    label::check(process)?;
    priority::check(process)
}

/// Sets how likely the kernel kills this process. A host without CAP_SYS_RESOURCE cannot lower it: then it stays.
pub(super) fn adjust_oom_score(process: &Process) {
    if let Some(score) = process.oom_score_adj() {
        let _ = std::fs::write(
            "/proc/self/oom_score_adj",
            score.clamp(-1000, 1000).to_string(),
        );
    }
}

/// Makes a missing working directory, as Docker does.
pub(super) fn make_directory(root: &OwnedFd, cwd: &Path) -> Result<()> {
    beneath::mkdir_all(root, cwd, 0o755, Links::InRoot)
        .map(|_| ())
        .map_err(|e| cwd_error(cwd, e.errno()))
}

fn cwd_error(cwd: &Path, errno: Errno) -> LaunchError {
    let message = format!(
        "chdir to cwd ({:?}) failed: {}",
        cwd,
        errno.desc().to_lowercase()
    );
    LaunchError {
        kind: FailureKind::Cwd,
        message,
        errno: errno as i32,
    }
}

/// Enters the directory as the user, by a walk that refuses magic links: /proc/self/fd/N leads nowhere.
fn enter_directory(root: &OwnedFd, cwd: &Path) -> Result<()> {
    let fd = beneath::open(
        root,
        cwd,
        OFlag::O_PATH | OFlag::O_DIRECTORY,
        Mode::empty(),
        Links::InRoot,
    );
    fd.and_then(nix::unistd::fchdir)
        .map_err(|e| cwd_error(cwd, e))?;
    // A directory outside the root is reported by the kernel as "(unreachable)…".
    let seen = nix::unistd::getcwd().map_err(|e| cwd_error(cwd, e))?;
    if seen.is_absolute() {
        Ok(())
    } else {
        Err(cwd_error(cwd, Errno::EXDEV))
    }
}

/// What is to be run.
pub(super) struct Start<'a> {
    pub(super) process: &'a Process,
    pub(super) seccomp: Option<&'a LinuxSeccomp>,
    /// Who answers for calls the filter asks about.
    pub(super) listener: Option<Listener>,
    /// Of a container's first process.
    pub(super) launch: Option<&'a Launch<'a>>,
}

/// Runs the process; comes back only with an error. `fds` go to the caller with the word "ready".
pub(super) fn execute(
    start: &Start<'_>,
    root: &OwnedFd,
    report: &Report<'_>,
    fds: [Option<BorrowedFd<'_>>; 2],
) -> Result<Infallible> {
    let process = start.process;
    let filter = start.seccomp.map(gantry_seccomp::compile).transpose();
    let filter = filter.map_err(|e| LaunchError::new(FailureKind::Seccomp, e.to_string()))?;
    let who = identity::resolve(root, process.user())?;
    let (sets, mut warnings) = credentials::plan(process, caps::get()?, caps::bounding())?;
    warnings.extend(credentials::limit_resources(process)?);
    warnings.extend(start.launch.and_then(unlabelled));
    priority::of_process(process)?;
    own_streams(who.uid);
    credentials::become_user(&who, &sets)?;
    nix::sys::stat::umask(Mode::from_bits_truncate(
        process.user().umask().unwrap_or(0o022),
    ));
    enter_directory(root, process.cwd())?;
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|e| e.starts_with("HOME=")) {
        let home = who
            .home
            .filter(|h| h.starts_with('/') && !h.contains(['\n', '\r', '\0']));
        env.push(format!("HOME={}", home.unwrap_or_else(|| "/".into())));
    }
    let args = process.args().as_deref().unwrap_or_default();
    let path = command::find(args.first().map_or("", String::as_str), &env)?;
    let pid = report.ready(fds, &warnings)?;
    let last = Last {
        sets,
        private: process.no_new_privileges() == Some(true),
        filter,
    };
    if let Some(launch) = start.launch {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let state = State::new(launch, "created", own);
        let list = hooks::of(launch.spec.hooks().as_ref(), Stage::StartContainer);
        // With the rights the program itself will have, as what is run is the container's.
        hooks::run_as(list, Stage::StartContainer, &state, &|| last.confine(None))?;
    }
    let message = start.listener.as_ref().map(|listener| {
        let state = start.launch.map(|l| State::new(l, "creating", pid));
        (listener, listener.message(state, pid))
    });
    last.confine(message.as_ref().map(|(l, m)| (*l, &m[..])))?;
    Err(command::execute(&path, args, &env))
}

/// A label of mounts that this host does not read.
fn unlabelled(launch: &Launch<'_>) -> Option<String> {
    let label = label::of_mounts(launch.spec.linux().as_ref()?)?;
    Some(format!(
        "linux.mountLabel {label:?} has no effect: SELinux is not enabled on this host"
    ))
}

/// The last steps before exec.
struct Last {
    sets: credentials::Final,
    private: bool,
    filter: Option<gantry_seccomp::Program>,
}

impl Last {
    /// Loads the filter and drops to the final sets. Without no_new_privs loading needs a capability, and then the sets
    /// are settled under the filter.
    fn confine(&self, listener: Option<(&Listener, &[u8])>) -> Result<()> {
        if self.private {
            sys::set_no_new_privs()?;
            credentials::settle(&self.sets)?;
        } else {
            credentials::raise()?;
        }
        sys::cloexec_from(3)?;
        if let Some(filter) = &self.filter {
            let (code, flags) = (&filter.instructions, filter.flags);
            match listener {
                Some((agent, message)) => {
                    let made =
                        sys::load_seccomp_listened(code, flags).kind(FailureKind::Seccomp)?;
                    agent.hand_over(message, &made)?;
                }
                None => sys::load_seccomp(code, flags).kind(FailureKind::Seccomp)?,
            }
        }
        if !self.private {
            credentials::settle(&self.sets)?;
        }
        Ok(())
    }
}

/// Lets the user reopen his own streams through /dev/stdout: pipes and terminals belong to who made them. What is
/// no pipe or terminal (a log file, /dev/null) is not ours to give away.
fn own_streams(uid: u32) {
    if uid == 0 {
        return;
    }
    let (i, o, e) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for fd in [i.as_fd(), o.as_fd(), e.as_fd()] {
        let kind = nix::sys::stat::fstat(fd).map_or(0, |s| s.st_mode & libc::S_IFMT);
        if kind == libc::S_IFIFO || nix::unistd::isatty(fd).unwrap_or(false) {
            let _ = nix::unistd::fchown(fd, Some(nix::unistd::Uid::from_raw(uid)), None);
        }
    }
}
