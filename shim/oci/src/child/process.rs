//! The second half of every launch, for a container's first process and an exec alike: user, directory, command,
//! ready, go, filter, capabilities, exec.

use super::report::Report;
use super::{command, credentials, identity};
use crate::error::{FailureKind, Kind, LaunchError, Result};
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
    let set = |label: &Option<String>| {
        label
            .as_ref()
            .is_some_and(|l| !l.is_empty() && l != "unconfined")
    };
    if set(process.apparmor_profile()) || set(process.selinux_label()) {
        return Err(LaunchError::unsupported(
            "AppArmor and SELinux are not supported yet",
        ));
    }
    if process.scheduler().is_some() || process.io_priority().is_some() {
        return Err(LaunchError::unsupported(
            "scheduler and ioPriority are not supported",
        ));
    }
    Ok(())
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

/// Runs the process; comes back only with an error. `fds` go to the caller with the word "ready".
pub(super) fn execute(
    process: &Process,
    seccomp: Option<&LinuxSeccomp>,
    root: &OwnedFd,
    report: &Report<'_>,
    fds: [Option<BorrowedFd<'_>>; 2],
) -> Result<Infallible> {
    let filter = seccomp.map(gantry_seccomp::compile).transpose();
    let filter = filter.map_err(|e| LaunchError::new(FailureKind::Seccomp, e.to_string()))?;
    let who = identity::resolve(root, process.user())?;
    let sets = credentials::plan(process, caps::get()?, caps::bounding())?;
    credentials::limit_resources(process)?;
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
    report.ready(fds)?;
    let private = process.no_new_privileges() == Some(true);
    if private {
        sys::set_no_new_privs()?;
        credentials::settle(&sets)?;
    } else {
        credentials::raise()?;
    }
    sys::cloexec_from(3)?;
    if let Some(filter) = &filter {
        sys::load_seccomp(&filter.instructions, filter.flags).kind(FailureKind::Seccomp)?;
    }
    if !private {
        credentials::settle(&sets)?;
    }
    Err(command::execute(&path, args, &env))
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
