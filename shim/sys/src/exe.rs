//! Running a binary of ours so that no container can ever write it.
//!
//! A process beside or inside a container shows its binary as /proc/PID/exe, and that link opens the file through the
//! mount it was started from. Started from a detached read-only mount, the link can only be opened for reading; once
//! the descriptor is closed nobody can change that mount's attributes (it is in no namespace).

use crate::error::{Error, Result};
use crate::mount;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A descriptor of `path` through a detached read-only mount of its own. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// ENOENT; EPERM without the capability.
pub fn read_only(path: &Path) -> Result<OwnedFd> {
    let path = std::fs::canonicalize(path)
        .map_err(|e| Error::from_io(format!("find {}", path.display()), &e))?;
    let fd = mount::open_tree_host(&path, false)?;
    mount::set_attr(&fd, mount::RDONLY | mount::NOSUID | mount::NODEV, 0, false)?;
    Ok(fd)
}

/// The path to execute such a descriptor by (the descriptor may be close-on-exec: the kernel opens before it closes).
#[must_use]
pub fn path_of(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}
