//! One process: pidfds, waiting, signals, exec, and the one-way switches a process sets on itself before exec.

use crate::error::{Error, Result};
use crate::raw::{check, check_fd};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It called exit with this code.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
}

impl Exit {
    /// The shell's number: the code, or 128 + signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Exit::Code(c) => c,
            Exit::Signal(s) => 128 + s,
        }
    }
}

/// A descriptor of a running process (pidfd_open(2), Linux 5.3). Becomes readable when the process ends.
///
/// # Errors
/// ESRCH when there is none.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: plain integers.
    check_fd(
        unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) },
        || format!("open pidfd of process {pid}"),
    )
}

/// Sends a signal through a pidfd, so that a reused pid is never hit.
///
/// # Errors
/// ESRCH when the process has been reaped.
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    // SAFETY: a null siginfo is allowed and means what kill(2) would send.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(ret, || format!("send signal {signal}")).map(|_| ())
}

/// Whether the process has ended, reaped or not, anybody's: its pidfd is readable then.
#[must_use]
pub fn has_ended(pidfd: impl AsFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1))
}

/// Reaps one child of ours if it has ended. `None` while it runs.
///
/// # Errors
/// ECHILD when it is no child of ours or was reaped already.
pub fn try_wait(pidfd: impl AsFd) -> Result<Option<Exit>> {
    wait_id(
        libc::P_PIDFD,
        pidfd.as_fd().as_raw_fd().cast_unsigned(),
        libc::WNOHANG,
    )
    .map(|o| o.map(|(_, e)| e))
}

/// Waits until the child has ended and reaps it.
///
/// # Errors
/// As [`try_wait`].
pub fn wait(pidfd: impl AsFd) -> Result<Exit> {
    loop {
        let id = pidfd.as_fd().as_raw_fd().cast_unsigned();
        if let Some((_, exit)) = wait_id(libc::P_PIDFD, id, 0)? {
            return Ok(exit);
        }
    }
}

/// Reaps any ended child: its pid and how it ended. `None` when children run and none has ended.
///
/// # Errors
/// ECHILD when there is no child at all.
pub fn try_wait_any() -> Result<Option<(i32, Exit)>> {
    wait_id(libc::P_ALL, 0, libc::WNOHANG)
}

/// The pid of an ended child of ours that is not reaped yet; it stays as it is.
///
/// # Errors
/// ECHILD when there is no child at all.
pub fn ended_child() -> Result<Option<i32>> {
    wait_id(libc::P_ALL, 0, libc::WNOHANG | libc::WNOWAIT).map(|o| o.map(|(pid, _)| pid))
}

fn wait_id(kind: libc::idtype_t, id: u32, flags: i32) -> Result<Option<(i32, Exit)>> {
    loop {
        // SAFETY: siginfo_t is plain data for which zero is valid.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` lives through the call.
        let ret = unsafe {
            libc::waitid(
                kind,
                id,
                &raw mut info,
                libc::WEXITED | libc::__WALL | flags,
            )
        };
        if ret < 0 {
            match Errno::last() {
                Errno::EINTR => continue,
                e => return Err(Error::new("wait for child", e)),
            }
        }
        // SAFETY: waitid fills the SIGCHLD part of the union, or leaves it zero.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        if pid == 0 {
            return Ok(None);
        }
        let exit = if info.si_code == libc::CLD_EXITED {
            Exit::Code(status)
        } else {
            Exit::Signal(status)
        };
        return Ok(Some((pid, exit)));
    }
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11 for this flag).
///
/// # Errors
/// EINVAL on a kernel without the flag.
pub fn cloexec_from(first: u32) -> Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC.cast_signed())
}

/// Closes every descriptor from `first` on. Only for a child that owns no Rust descriptor it still means to use.
///
/// # Errors
/// ENOSYS before Linux 5.9.
pub fn close_from(first: u32) -> Result<()> {
    close_range(first, 0)
}

fn close_range(first: u32, flags: i32) -> Result<()> {
    // SAFETY: plain integers. Closing descriptors behind their owners is the caller's stated wish (a child before exec).
    check(
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) },
        || "close descriptors".into(),
    )
    .map(|_| ())
}

/// Sets no_new_privs for good (prctl(2)).
///
/// # Errors
/// Never on a kernel we run on.
pub fn set_no_new_privs() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, "set no_new_privs")
}

/// Makes this process's memory, descriptors and `exe` unreadable for others without CAP_SYS_PTRACE until the next
/// exec: said before entering a container's namespaces.
///
/// # Errors
/// Never on a kernel we run on.
pub fn set_undumpable() -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0, "set undumpable")
}

/// Makes this process the reaper of orphans among its descendants.
///
/// # Errors
/// Never on a kernel we run on.
pub fn set_child_subreaper() -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, "become subreaper")
}

/// Keeps permitted capabilities over the next change of user id (cleared by exec).
///
/// # Errors
/// EPERM when the securebit is locked.
pub fn set_keep_caps() -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, 1, "keep capabilities")
}

fn prctl(option: i32, value: libc::c_ulong, what: &str) -> Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: options used here take one integer and ignore the zero rest.
    check(
        unsafe { libc::prctl(option, value, zero, zero, zero) }.into(),
        || what.into(),
    )
    .map(|_| ())
}

/// Loads a compiled seccomp filter for this thread. Needs no_new_privs or CAP_SYS_ADMIN.
///
/// # Errors
/// EINVAL for a program the kernel's checker refuses, EACCES without either privilege.
pub fn load_seccomp(program: &[(u16, u8, u8, u32)], flags: u32) -> Result<()> {
    load_filter(program, flags).map(|_| ())
}

/// The same with a listener (`SECCOMP_FILTER_FLAG_NEW_LISTENER`, Linux 5.0): the descriptor that is asked about calls
/// the filter wants to be asked about.
///
/// # Errors
/// As [`load_seccomp`]; EBUSY when a listener is there already.
pub fn load_seccomp_listened(program: &[(u16, u8, u8, u32)], flags: u32) -> Result<OwnedFd> {
    let new_listener = 8;
    let ret = load_filter(program, flags | new_listener)?;
    check_fd(ret, || "load seccomp filter".into())
}

fn load_filter(program: &[(u16, u8, u8, u32)], flags: u32) -> Result<libc::c_long> {
    let filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
        .collect();
    let len = u16::try_from(filter.len())
        .map_err(|_| Error::new("load seccomp filter: too long", Errno::EINVAL))?;
    let prog = libc::sock_fprog {
        len,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: `prog` points to `filter`, which lives through the call; the kernel only reads it.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const prog,
        )
    };
    check(ret, || "load seccomp filter".into())
}

/// Gives every signal its default action again and clears the mask: both survive exec otherwise.
///
/// # Errors
/// When the mask cannot be set (never on a kernel we run on).
pub fn reset_signals() -> Result<()> {
    for signal in 1..=64 {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: SIG_DFL is no function of ours. glibc refuses its two internal signals, which we never change.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    nix::sys::signal::SigSet::empty()
        .thread_set_mask()
        .map_err(|e| Error::new("clear signal mask", e))
}

/// Replaces the process image with the file behind a descriptor (execveat(2) with AT_EMPTY_PATH). Returns only the
/// error. A script (`#!`) behind a close-on-exec descriptor is ENOENT: use [`execve`] for those.
#[must_use]
pub fn execve_fd(file: impl AsFd, argv: &[&CStr], env: &[&CStr]) -> Error {
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end in null, and their strings outlive the call, which returns only on failure.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_fd().as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Error::last("execute descriptor")
}

/// Replaces the process image (execve(2)). Returns only the error.
#[must_use]
pub fn execve(path: &CStr, argv: &[&CStr], env: &[&CStr]) -> Error {
    let (argv_p, env_p) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end in null, and their strings outlive the call, which returns only on failure.
    unsafe { libc::execve(path.as_ptr(), argv_p.as_ptr(), env_p.as_ptr()) };
    Error::last(format!("execute {}", path.to_string_lossy()))
}

fn pointers(list: &[&CStr]) -> Vec<*const libc::c_char> {
    list.iter()
        .map(|c| c.as_ptr())
        .chain(std::iter::once(std::ptr::null()))
        .collect()
}

/// Makes three descriptors the standard streams of this process (inherited by exec). They may be any of 0 to 2
/// themselves.
///
/// # Errors
/// EBADF, EMFILE.
pub fn set_stdio(streams: [BorrowedFd<'_>; 3]) -> Result<()> {
    // First out of the way of 0 to 2, so that a stream is not overwritten before it is copied.
    let mut high = Vec::with_capacity(3);
    for fd in streams {
        high.push(crate::namespace::dup_above(fd, 3)?);
    }
    for (target, fd) in (0..).zip(&high) {
        // SAFETY: plain integers; dup2 leaves close-on-exec off, and replaces a stream nobody here owns.
        check(unsafe { libc::dup2(fd.as_raw_fd(), target) }.into(), || {
            format!("set standard stream {target}")
        })?;
    }
    Ok(())
}

/// Closes every descriptor above 2 but those in `keep`. For a child that will use no other.
///
/// # Errors
/// ENOSYS before Linux 5.9.
pub fn close_all_but(keep: &[i32]) -> Result<()> {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .filter(|fd| *fd > 2)
        .collect();
    keep.sort_unstable();
    keep.dedup();
    let mut first = 3;
    for fd in keep {
        if fd > first {
            close_span(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_span(first, u32::MAX)
}

fn close_span(first: u32, last: u32) -> Result<()> {
    // SAFETY: plain integers. Closing descriptors behind their owners is the caller's stated wish (a child before exec).
    check(
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) },
        || "close descriptors".into(),
    )
    .map(|_| ())
}

/// Gives this process a session keyring of its own, so that it cannot search its parent's. A kernel without keyrings,
/// or a full quota, is no error: then there is nothing to share.
pub fn new_session_keyring() {
    let join_session_keyring: libc::c_long = 1;
    // SAFETY: KEYCTL_JOIN_SESSION_KEYRING with a null name makes an anonymous keyring.
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            join_session_keyring,
            std::ptr::null::<libc::c_char>(),
        )
    };
}

/// Ends this process at once, without running any exit handler of the parent's image.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Sets the NIS domain name of the UTS namespace.
///
/// # Errors
/// EPERM, EINVAL when longer than 64 bytes.
pub fn set_domain_name(name: &str) -> Result<()> {
    // SAFETY: pointer and length describe the borrowed string.
    let ret = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
    check(ret.into(), || format!("set domain name {name:?}")).map(|_| ())
}
