//! Whole file trees by descriptor: the space they take, an exact copy, data safely on disk.
//!
//! The trees are containers' own and may change under the walk: every folder is opened beneath the
//! root without following a symlink, so nothing outside is ever looked at. Depth is limited by the
//! kernel's longest path (4,096 bytes), open descriptors by a constant.

mod copy;

pub use copy::{Copied, copy};

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstat, fstatat};

use crate::beneath::{self, Links};
use crate::error::{Error, Result};

/// Space of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes allocated on disk, hard links counted once.
    pub bytes: u64,
    /// Files, folders and others, the root included.
    pub inodes: u64,
}

/// A folder's entry: its name and what it is.
struct Entry {
    name: CString,
    stat: FileStat,
}

/// The folder at `path` beneath `root`, opened and read. What vanishes meanwhile is left out.
fn read(root: &OwnedFd, path: &Path) -> Result<(OwnedFd, Vec<Entry>)> {
    let failed = |e| Error::new(format!("read folder {}", path.display()), e);
    let folder = beneath::open_dir(root, path, Links::Refuse).map_err(failed)?;
    let again = beneath::open_dir(&folder, Path::new("."), Links::Refuse).map_err(failed)?;
    let mut entries = Vec::new();
    for entry in Dir::from_fd(again).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_owned();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match fstatat(&folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => entries.push(Entry { name, stat }),
            Err(nix::errno::Errno::ENOENT) => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Ok((folder, entries))
}

fn join(path: &Path, name: &CString) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    path.join(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

fn is(stat: &FileStat, kind: libc::mode_t) -> bool {
    stat.st_mode & libc::S_IFMT == kind
}

fn open_root(path: &Path) -> Result<OwnedFd> {
    File::open(path)
        .map(OwnedFd::from)
        .map_err(|e| Error::from_io(format!("open folder {}", path.display()), &e))
}

/// The space that `root` and all beneath it take.
///
/// # Errors
/// ECANCELED when `cancelled` says so; the errno of what could not be read.
pub fn space(root: &Path, cancelled: impl Fn() -> bool) -> Result<Space> {
    let top = open_root(root)?;
    let stat = fstat(&top).map_err(|e| Error::new(format!("look at {}", root.display()), e))?;
    let mut space = Space {
        bytes: blocks(&stat),
        inodes: 1,
    };
    let mut linked = HashSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(path) = folders.pop() {
        if cancelled() {
            return Err(Error::new("count space", nix::errno::Errno::ECANCELED));
        }
        let entries = match read(&top, &path) {
            Ok((_, entries)) => entries,
            // Gone, or made something else, since its parent was read.
            Err(e) if !path.as_os_str().is_empty() && vanished(e.errno()) => continue,
            Err(e) => return Err(e),
        };
        for Entry { name, stat } in entries {
            let folder = is(&stat, libc::S_IFDIR);
            if !folder && stat.st_nlink > 1 && !linked.insert((stat.st_dev, stat.st_ino)) {
                continue;
            }
            space.bytes += blocks(&stat);
            space.inodes += 1;
            if folder {
                folders.push(join(&path, &name));
            }
        }
    }
    Ok(space)
}

fn vanished(errno: nix::errno::Errno) -> bool {
    use nix::errno::Errno;
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
}

fn blocks(stat: &FileStat) -> u64 {
    // st_blocks counts 512 bytes whatever the file system's block is: stat(2).
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

/// Writes everything of the file system that holds `folder` to disk: syncfs(2).
///
/// # Errors
/// The errno of syncfs(2); EIO when data written earlier was lost.
pub fn sync_file_system(folder: impl AsFd) -> Result<()> {
    nix::unistd::syncfs(folder).map_err(|e| Error::new("sync file system", e))
}

#[cfg(test)]
mod tests;
