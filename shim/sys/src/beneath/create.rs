//! Making missing directories and files beneath a descriptor, and bounded reading: what mount targets and user
//! databases need.

use super::Links;
use crate::error::{Error, Result};
use crate::raw::cstr;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

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

/// Most symlinks followed while something is being made, as the kernel's own limit.
const MAX_LINKS: usize = 40;

/// The directory at `path` inside `root`, with every missing part made with `mode`. A dangling symlink is followed
/// inside the root (with [`Links::InRoot`]) and what it points to is made. The result is an `O_PATH` descriptor.
///
/// # Errors
/// ENOTDIR when something else is there, ELOOP for links that `links` refuses or for too many.
pub fn mkdir_all(root: impl AsFd, path: &Path, mode: u32, links: Links) -> Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match open(&root, path, flags, links) {
        Err(e) if e.errno() == Errno::ENOENT => {}
        other => return other,
    }
    let place = resolve(&root, path, links, Some(mode))?;
    open(&root, &place, flags, Links::Refuse)
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
    let place = resolve(&root, path, links, None)?;
    let bad = || Error::new(format!("make file {}", path.display()), Errno::EINVAL);
    let name = Path::new(place.file_name().ok_or_else(bad)?);
    let parent = mkdir_all(&root, place.parent().ok_or_else(bad)?, 0o755, Links::Refuse)?;
    drop(open_mode(
        &parent,
        name,
        libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL,
        mode,
        Links::Refuse,
    )?);
    open(&parent, name, libc::O_PATH, Links::Refuse)
}

/// Walks `path` part by part and answers a place without links and `..`; with a mode, missing directories are made on
/// the way. Whoever swaps a part meanwhile is caught by the caller's last open, which refuses every link.
fn resolve(root: &impl AsFd, path: &Path, links: Links, make: Option<u32>) -> Result<PathBuf> {
    let mut todo: Vec<OsString> = parts(path);
    let (mut done, mut followed) = (PathBuf::from("."), 0);
    while let Some(name) = todo.pop() {
        if name == ".." {
            if done != Path::new(".") {
                done.pop();
            }
            continue;
        }
        let dir = match open(root, &done, libc::O_PATH | libc::O_DIRECTORY, Links::Refuse) {
            // Below a part that is not there, and is not ours to make, nothing can be a link.
            Err(e) if e.errno() == Errno::ENOENT && make.is_none() => {
                done.push(name);
                continue;
            }
            other => other?,
        };
        match nix::fcntl::readlinkat(&dir, name.as_os_str()) {
            Ok(target) if links == Links::InRoot && followed < MAX_LINKS => {
                followed += 1;
                let target = PathBuf::from(target);
                if target.is_absolute() {
                    done = PathBuf::from(".");
                }
                todo.extend(parts(&target));
                continue;
            }
            Ok(_) => {
                return Err(Error::new(
                    format!("follow link {}", path.display()),
                    Errno::ELOOP,
                ));
            }
            Err(_) => {}
        }
        if let Some(mode) = make {
            let text = cstr(name.as_bytes(), "make directory")?;
            // SAFETY: NUL-terminated name, borrowed descriptor.
            let ret = unsafe { libc::mkdirat(dir.as_raw_fd(), text.as_ptr(), mode) };
            if ret < 0 && Errno::last() != Errno::EEXIST {
                return Err(Error::last(format!("make directory {}", path.display())));
            }
        }
        done.push(name);
    }
    Ok(done)
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let name = |c: Component<'_>| match c {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    let mut list: Vec<OsString> = path.components().filter_map(name).collect();
    list.reverse();
    list
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
