//! Kernel errors as answers: a limit that was met is told apart from everything else and named, since whoever reads it
//! can do something about it.

use std::io;

use gantry_supervisor_proto::{ErrorKind, WireError};
use gantry_sys::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// The limit behind an errno, for people; `None` for an errno that is no limit's.
fn limit(errno: Errno) -> Option<String> {
    Some(match errno {
        Errno::EMFILE => match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, _)) => format!("the supervisor may open {soft} files (RLIMIT_NOFILE)"),
            Err(_) => "the supervisor's limit of open files (RLIMIT_NOFILE)".to_owned(),
        },
        Errno::ENFILE => "the host's limit of open files (fs.file-max)".to_owned(),
        Errno::EAGAIN => {
            "a limit of processes (pids cgroup, RLIMIT_NPROC, kernel.pid_max or threads-max)"
                .to_owned()
        }
        Errno::ENOMEM => "the host's or the cgroup's memory".to_owned(),
        Errno::ENOSPC => {
            "space or inodes of a file system, or a kernel limit (fs.mount-max, cgroup.max)"
                .to_owned()
        }
        Errno::EDQUOT => "a disk quota".to_owned(),
        _ => return None,
    })
}

/// An error with its kind by errno.
pub(crate) fn of(errno: Errno, message: impl Into<String>) -> WireError {
    match limit(errno) {
        Some(limit) => WireError::new(
            ErrorKind::ResourceExhausted,
            format!("{}; limit met: {limit}", message.into()),
        ),
        None => WireError::internal(message),
    }
}

/// Stands in `map_err` for system calls.
#[allow(clippy::needless_pass_by_value)] // map_err's
pub(crate) fn sys(error: gantry_sys::Error) -> WireError {
    of(error.errno(), error.to_string())
}

/// For files: what was done, then why it failed.
pub(crate) fn io(doing: impl std::fmt::Display, error: &io::Error) -> WireError {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    of(errno, format!("{doing}: {error}"))
}

/// For tests of a build with fault points.
pub(crate) fn injected(error: gantry_fault::Injected) -> WireError {
    WireError::new(ErrorKind::Unavailable, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_was_met_is_named() {
        let full = io(
            "make pipes",
            &io::Error::from_raw_os_error(Errno::EMFILE as i32),
        );
        assert_eq!(full.kind, ErrorKind::ResourceExhausted);
        assert!(full.message.contains("RLIMIT_NOFILE"), "{full}");
        let forked = sys(gantry_sys::Error::new("fork", Errno::EAGAIN));
        assert!(forked.message.contains("pids cgroup"), "{forked}");
        let other = sys(gantry_sys::Error::new("fork", Errno::EPERM));
        assert_eq!(other.kind, ErrorKind::Internal);
    }
}
