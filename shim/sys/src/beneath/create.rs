//! Making missing directories and files beneath a descriptor, and bounded reading: what mount targets and user
//! databases need.

use super::Links;
use crate::error::{Error, Result};
use crate::raw::cstr;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

fn open(root: impl AsFd, path: &Path, flags: i32, links: Links) -> Result<OwnedFd> {
    open_mode(root, path, flags, 0, links)
}

fn open_mode(root: impl AsFd, path: &Path, flags: i32, mode: u32, links: Links) -> Result<OwnedFd> {
    super::open(
        root,
        path,
        OFlag::from_bits_retain(flags),
        Mode::from_bits_truncate(mode),
        links,
    )
    .map_err(|e| Error::new(format!("open {} beneath root", path.display()), e))
}

/// The directory at `path` inside `root`, with every missing part made with `mode`. A dangling symlink on the way is
/// an error, never a reason to make something elsewhere. The result is an `O_PATH` descriptor.
///
/// # Errors
/// ENOTDIR when something else is there, ELOOP for links that `links` refuses, EINVAL for a `..` beyond what exists.
pub fn mkdir_all(root: impl AsFd, path: &Path, mode: u32, links: Links) -> Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match open(&root, path, flags, links) {
        Err(e) if e.errno() == Errno::ENOENT => {}
        other => return other,
    }
    let parts: Vec<&std::ffi::OsStr> = path
        .components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name),
            Component::ParentDir => Some(std::ffi::OsStr::new("..")),
            _ => None,
        })
        .collect();
    // Find the deepest part that exists (links inside it are the kernel's to resolve), then make the rest by name.
    let mut have = parts.len();
    let mut dir = loop {
        have = have.saturating_sub(1);
        let prefix: std::path::PathBuf = if have == 0 {
            ".".into()
        } else {
            parts[..have].iter().collect()
        };
        match open(&root, &prefix, flags, links) {
            Err(e) if e.errno() == Errno::ENOENT && have > 0 => {}
            other => break other?,
        }
    };
    for name in &parts[have..] {
        if *name == ".." {
            return Err(Error::new(
                format!(
                    "make directory {}: '..' after a missing part",
                    path.display()
                ),
                Errno::EINVAL,
            ));
        }
        let text = cstr(name.as_bytes(), "make directory")?;
        // SAFETY: NUL-terminated name, borrowed descriptor.
        let ret = unsafe { libc::mkdirat(dir.as_raw_fd(), text.as_ptr(), mode) };
        if ret < 0 && Errno::last() != Errno::EEXIST {
            return Err(Error::last(format!("make directory {}", path.display())));
        }
        // NO_SYMLINKS: what we have just made (or lost a race for) must be a real directory.
        dir = open(&dir, Path::new(name), flags, Links::Refuse)?;
    }
    Ok(dir)
}

/// An `O_PATH` descriptor of the file at `path` inside `root`, made empty (with its parents) when missing.
///
/// # Errors
/// As [`mkdir_all`].
pub fn touch(root: impl AsFd, path: &Path, mode: u32, links: Links) -> Result<OwnedFd> {
    match open(&root, path, libc::O_PATH, links) {
        Err(e) if e.errno() == Errno::ENOENT => {}
        other => return other,
    }
    let bad = || Error::new(format!("make file {}", path.display()), Errno::EINVAL);
    let parent = mkdir_all(&root, path.parent().ok_or_else(bad)?, 0o755, links)?;
    let name = Path::new(path.file_name().ok_or_else(bad)?);
    drop(open_mode(
        &parent,
        name,
        libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW,
        mode,
        Links::Refuse,
    )?);
    open(
        &parent,
        name,
        libc::O_PATH | libc::O_NOFOLLOW,
        Links::Refuse,
    )
}

/// Reads a regular file inside `root`, at most `limit` bytes. Opened non-blocking, so that a FIFO or device planted
/// at that path cannot hold the caller.
///
/// # Errors
/// EINVAL when it is not a regular file, EFBIG when it is longer than `limit`.
pub fn read_file(root: impl AsFd, path: &Path, limit: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let fd = open(
        root,
        path,
        libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY,
        Links::InRoot,
    )?;
    let stat = nix::sys::stat::fstat(&fd)
        .map_err(|e| Error::new(format!("stat {}", path.display()), e))?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(Error::new(
            format!("read {}: not a regular file", path.display()),
            Errno::EINVAL,
        ));
    }
    let mut data = Vec::new();
    let mut file = std::fs::File::from(fd).take(limit as u64 + 1);
    file.read_to_end(&mut data)
        .map_err(|e| Error::from_io(format!("read {}", path.display()), &e))?;
    if data.len() > limit {
        return Err(Error::new(
            format!("read {}: longer than {limit} bytes", path.display()),
            Errno::EFBIG,
        ));
    }
    Ok(data)
}

#[cfg(test)]
mod tests;
