//! Making, entering and cloning into namespaces.

use crate::error::{Error, Result};
use crate::raw::{check, check_fd};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `CLONE_NEW*` bits.
pub type Flags = i32;
/// Mount namespace.
pub const MOUNT: Flags = libc::CLONE_NEWNS;
/// Process ids.
pub const PID: Flags = libc::CLONE_NEWPID;
/// Network.
pub const NET: Flags = libc::CLONE_NEWNET;
/// System V IPC and POSIX queues.
pub const IPC: Flags = libc::CLONE_NEWIPC;
/// Host and domain name.
pub const UTS: Flags = libc::CLONE_NEWUTS;
/// User and group ids.
pub const USER: Flags = libc::CLONE_NEWUSER;
/// Root of the cgroup tree as seen from inside.
pub const CGROUP: Flags = libc::CLONE_NEWCGROUP;
/// Offsets of the monotonic and boot clocks (Linux 5.6).
pub const TIME: Flags = 0x80;

/// Moves the calling thread into fresh namespaces.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN, ENOSPC at the limit of namespaces.
pub fn unshare(flags: Flags) -> Result<()> {
    // SAFETY: plain integer; CLONE_FILES and friends are not among `Flags`.
    check(unsafe { libc::unshare(flags) }.into(), || {
        format!("make namespaces {}", names(flags))
    })
    .map(|_| ())
}

/// Enters the namespace behind a descriptor, or several of a process behind a pidfd (Linux 5.8).
///
/// # Errors
/// EINVAL when the kind does not match, EPERM without privilege over it.
pub fn enter(namespace: impl AsFd, flags: Flags) -> Result<()> {
    // SAFETY: plain integers.
    let ret = unsafe { libc::setns(namespace.as_fd().as_raw_fd(), flags) };
    check(ret.into(), || format!("enter namespace {}", names(flags))).map(|_| ())
}

/// Makes one namespace (not PID, not USER) and returns a descriptor that holds it, leaving the calling **thread**
/// where it was.
///
/// # Errors
/// As [`unshare`]; when the way back fails the error says so, and the thread must not be used any more.
pub fn make(flag: Flags) -> Result<OwnedFd> {
    let name = file_name(flag)?;
    let path = format!("/proc/thread-self/ns/{name}");
    let back = open_path(&path)?;
    unshare(flag)?;
    let made = open_path(&path);
    enter(&back, flag).map_err(|e| e.within("return to the first namespace"))?;
    made
}

/// A descriptor of a namespace of the calling thread.
///
/// # Errors
/// When /proc is not there.
pub fn own(flag: Flags) -> Result<OwnedFd> {
    open_path(&format!("/proc/thread-self/ns/{}", file_name(flag)?))
}

/// A descriptor of a namespace of process `pid`.
///
/// # Errors
/// ENOENT when there is no such process, EACCES without the right to look.
pub fn of_process(pid: i32, flag: Flags) -> Result<OwnedFd> {
    open_path(&format!("/proc/{pid}/ns/{}", file_name(flag)?))
}

/// Opens a namespace file, close-on-exec.
///
/// # Errors
/// The kernel's errno.
pub fn open_path(path: &str) -> Result<OwnedFd> {
    std::fs::File::open(path)
        .map(OwnedFd::from)
        .map_err(|e| Error::from_io(format!("open {path}"), &e))
}

/// The file below `/proc/PID/ns` of one namespace kind.
///
/// # Errors
/// EINVAL for none or several kinds.
pub fn file_name(flag: Flags) -> Result<&'static str> {
    Ok(match flag {
        MOUNT => "mnt",
        PID => "pid",
        NET => "net",
        IPC => "ipc",
        UTS => "uts",
        USER => "user",
        CGROUP => "cgroup",
        TIME => "time",
        _ => return Err(Error::new("name one namespace kind", Errno::EINVAL)),
    })
}

fn names(flags: Flags) -> String {
    let all = [MOUNT, PID, NET, IPC, UTS, USER, CGROUP, TIME];
    all.iter()
        .filter(|f| flags & **f != 0)
        .filter_map(|f| file_name(*f).ok())
        .collect::<Vec<_>>()
        .join(",")
}

/// Which side of a fork the caller is on.
#[derive(Debug)]
pub enum Forked {
    /// In the parent: the child's pid (in the parent's namespace) and its pidfd.
    Parent(i32, OwnedFd),
    /// In the child.
    Child,
}

/// Forks with clone3(2) (Linux 5.5 for the cgroup), with a pidfd, into fresh namespaces and, on cgroup v2, straight
/// into `cgroup` (a directory descriptor). SIGCHLD is sent to the parent at the end.
///
/// The **caller must have one thread only** if the child is to allocate or take any lock (the child gets a copy of
/// one thread, and of the heap's locks as they were). The child must end in exec or [`crate::process::exit_now`],
/// never by returning into the parent's code.
///
/// # Errors
/// EPERM, ENOSPC (namespaces), EAGAIN (processes), EBUSY (a cgroup with controllers enabled below).
pub fn fork(flags: Flags, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked> {
    clone(flags, cgroup, libc::SIGCHLD as u64)
}

/// As [`fork`], but the child's parent is the caller's own parent, which will have to reap it.
///
/// # Errors
/// As [`fork`].
pub fn fork_sibling(flags: Flags, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked> {
    // The kernel takes the signal of the caller itself for a sibling and wants none named.
    clone(flags | libc::CLONE_PARENT, cgroup, 0)
}

fn clone(flags: Flags, cgroup: Option<BorrowedFd<'_>>, signal: u64) -> Result<Forked> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain data for which zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    args.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    args.exit_signal = signal;
    if let Some(cgroup) = cgroup {
        args.flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP does not fit libc's c_int
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child runs on a copy of this memory and stack, as after fork(2); `args` and
    // `pidfd` live through the call.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const args,
            size_of::<libc::clone_args>(),
        )
    };
    match check(ret, || {
        format!("clone process into namespaces {}", names(flags))
    })? {
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: the kernel has just stored a fresh descriptor here (CLONE_PIDFD).
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent(
                i32::try_from(pid).expect("pids fit in 22 bits"),
                pidfd,
            ))
        }
    }
}

/// Duplicates a descriptor, close-on-exec, at or above `least`.
///
/// # Errors
/// EMFILE.
pub fn dup_above(fd: impl AsFd, least: i32) -> Result<OwnedFd> {
    // SAFETY: plain integers; the result is a fresh descriptor.
    let ret = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    check_fd(ret.into(), || "duplicate descriptor".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Exit, exit_now, wait};

    #[test]
    fn a_forked_child_reports_its_code() {
        match fork(0, None).unwrap() {
            Forked::Child => exit_now(7),
            Forked::Parent(_, pidfd) => assert_eq!(wait(&pidfd).unwrap(), Exit::Code(7)),
        }
    }

    #[test]
    fn kinds_have_one_name() {
        assert_eq!(file_name(NET).unwrap(), "net");
        assert!(file_name(NET | PID).is_err());
        assert_eq!(names(NET | PID), "pid,net");
    }
}
