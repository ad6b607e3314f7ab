//! Removing a name with everything beneath it, by descriptors, without following a link.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Error, Result, show};

/// Deepest tree that is removed: each level holds a descriptor. Paths of an image reach 256 parts.
const DEPTH: usize = 512;

/// Removes `name` in `dir`; nothing there is success.
pub(crate) fn remove<F: AsFd>(dir: F, name: &CStr) -> Result<()> {
    remove_at(dir.as_fd(), name, 0)
}

fn remove_at<F: AsFd>(dir: F, name: &CStr, depth: usize) -> Result<()> {
    let fail = |e: Errno| Error::io(format!("remove {}", show(name.to_bytes())), e);
    match unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        // Linux says EISDIR, POSIX and some file systems EPERM.
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(e) => return Err(fail(e)),
    }
    if depth == DEPTH {
        return Err(Error::Limit(format!(
            "tree below {} is too deep to remove",
            show(name.to_bytes())
        )));
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let inner = openat(&dir, name, flags, Mode::empty()).map_err(fail)?;
    for child in names(&inner)? {
        remove_at(&inner, &child, depth + 1)?;
    }
    unlinkat(&dir, name, UnlinkatFlags::RemoveDir).map_err(fail)
}

/// The names in an open directory, without `.` and `..`.
pub(crate) fn names(dir: &OwnedFd) -> Result<Vec<CString>> {
    let fail = |e: Errno| Error::io("read a directory", e);
    // A descriptor of its own: reading moves the position.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let fd = openat(dir, c".", flags, Mode::empty()).map_err(fail)?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(fd).map_err(fail)?.iter() {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
