//! Copying a directory tree between two descriptors: the first content of a volume.
//!
//! Owners, modes, times, attributes, symlinks and hard links are kept. Both trees stay beneath their descriptors.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gantry_sys::beneath::{self, Links};
use gantry_sys::xattr;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{
    FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstat, fstatat, futimens, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat, linkat, symlinkat, syncfs};

use crate::error::{Error, Result, show};
use crate::limits::Limits;
use crate::protocol::Copied;
use crate::remove::names;
use crate::unpack::Owners;

/// Copies what `path` beneath `root` holds into the open directory `target`, and gives it that directory's owner and
/// mode. Does nothing if `path` is no directory or `target` is not empty.
///
/// # Errors
/// Kinds `io`, `no_space` and `limit`; the target is then partly filled.
pub fn copy_up(
    root: &OwnedFd,
    path: &Path,
    target: &OwnedFd,
    owners: Owners,
    limits: &Limits,
) -> Result<Copied> {
    let source = match beneath::open_dir(root, path, Links::InRoot) {
        Ok(fd) => fd,
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(Copied::default()),
        Err(e) => {
            return Err(Error::io(
                format!("open {}", show(path.as_os_str().as_bytes())),
                e,
            ));
        }
    };
    if !names(target)?.is_empty() {
        return Ok(Copied::default());
    }
    let mut copy = Copy {
        owners,
        limits,
        target,
        links: HashMap::new(),
        done: Copied::default(),
    };
    let stat = fstat(&source).map_err(|e| Error::io("stat the directory to copy", e))?;
    copy.children(&source, target, Path::new(""), 0)?;
    copy.meta(&source, target, &stat)?;
    gantry_fault::pass("files.copy.before-sync");
    syncfs(target).map_err(|e| Error::io("flush the copied files", e))?;
    Ok(copy.done)
}

struct Copy<'l> {
    owners: Owners,
    limits: &'l Limits,
    target: &'l OwnedFd,
    /// First copy of every file with several names, by device and inode: its path beneath the target.
    links: HashMap<(u64, u64), PathBuf>,
    done: Copied,
}

impl Copy<'_> {
    fn children(&mut self, from: &OwnedFd, to: &OwnedFd, at: &Path, depth: usize) -> Result<()> {
        if depth > self.limits.depth {
            return Err(Error::Limit(format!(
                "tree deeper than {} levels",
                self.limits.depth
            )));
        }
        for name in names(from)? {
            self.done.entries += 1;
            if self.done.entries > self.limits.entries {
                return Err(Error::Limit(format!(
                    "more than {} entries",
                    self.limits.entries
                )));
            }
            let path = at.join(OsStr::from_bytes(name.to_bytes()));
            self.entry(from, to, &name, &path, depth)
                .map_err(|e| match e {
                    Error::Io { doing, source } if doing.is_empty() => {
                        Error::io(format!("copy {}", show(name.to_bytes())), source)
                    }
                    e => e,
                })?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        path: &Path,
        depth: usize,
    ) -> Result<()> {
        let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(bare)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        let linked = stat.st_nlink > 1 && kind != SFlag::S_IFDIR;
        if linked && let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
            return self.link(first, to, name);
        }
        match kind {
            SFlag::S_IFDIR => {
                let flags =
                    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                mkdirat(to, name, Mode::S_IRWXU).map_err(bare)?;
                let from = openat(from, name, flags, Mode::empty()).map_err(bare)?;
                let to = openat(to, name, flags, Mode::empty()).map_err(bare)?;
                self.children(&from, &to, path, depth + 1)?;
                self.meta(&from, &to, &stat)?;
            }
            SFlag::S_IFREG => self.file(from, to, name)?,
            SFlag::S_IFLNK => {
                let target = readlinkat(from, name).map_err(bare)?;
                symlinkat(target.as_os_str(), to, name).map_err(bare)?;
                self.meta_at(from, to, name, &stat)?;
            }
            // A socket file without its server means nothing.
            SFlag::S_IFSOCK => return Ok(()),
            kind => {
                let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
                mknodat(to, name, kind, mode, stat.st_rdev).map_err(bare)?;
                self.meta_at(from, to, name, &stat)?;
            }
        }
        if linked {
            self.links
                .insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        Ok(())
    }

    fn link(&self, first: &Path, to: &OwnedFd, name: &CStr) -> Result<()> {
        let parent = first.parent().unwrap_or(Path::new(""));
        let dir = beneath::open_dir(self.target, parent, Links::Refuse).map_err(bare)?;
        let first = first.file_name().ok_or_else(|| bare(Errno::EINVAL))?;
        linkat(&dir, first, to, name, AtFlags::empty()).map_err(bare)
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<()> {
        let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let make =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut source = File::from(openat(from, name, read, Mode::empty()).map_err(bare)?);
        let stat = fstat(&source).map_err(bare)?;
        self.done.bytes = self
            .done
            .bytes
            .saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
        if self.done.bytes > self.limits.bytes {
            return Err(Error::Limit(format!(
                "files of more than {} bytes",
                self.limits.bytes
            )));
        }
        let mut target =
            File::from(openat(to, name, make, Mode::S_IRUSR | Mode::S_IWUSR).map_err(bare)?);
        std::io::copy(&mut source, &mut target).map_err(|e| Error::io("", e))?;
        self.meta(&source, &target, &stat)
    }

    /// Order as in an unpack: chown clears setuid and capabilities, times come last.
    fn meta<A: AsFd, B: AsFd>(&self, from: A, to: B, stat: &FileStat) -> Result<()> {
        if self.owners == Owners::Apply {
            fchown(
                &to,
                Some(Uid::from_raw(stat.st_uid)),
                Some(Gid::from_raw(stat.st_gid)),
            )
            .map_err(bare)?;
        }
        fchmod(&to, Mode::from_bits_truncate(stat.st_mode & 0o7777)).map_err(bare)?;
        for name in xattr::list(&from)
            .or_else(none_of_them)
            .map_err(bare)?
            .iter()
            .filter(|n| is_ours(n))
        {
            let value = xattr::get(&from, name).map_err(bare)?;
            xattr::set(&to, name, &value)
                .or_else(unsupported)
                .map_err(bare)?;
        }
        let (atime, mtime) = times(stat);
        futimens(&to, &atime, &mtime).map_err(bare)
    }

    fn meta_at(&self, from: &OwnedFd, to: &OwnedFd, name: &CStr, stat: &FileStat) -> Result<()> {
        if self.owners == Owners::Apply {
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(bare)?;
        }
        for attr in xattr::list_at(from, name)
            .or_else(none_of_them)
            .map_err(bare)?
            .iter()
            .filter(|n| is_ours(n))
        {
            let value = xattr::get_at(from, name, attr).map_err(bare)?;
            xattr::set_at(to, name, attr, &value)
                .or_else(unsupported)
                .map_err(bare)?;
        }
        let (atime, mtime) = times(stat);
        utimensat(to, name, &atime, &mtime, UtimensatFlags::NoFollowSymlink).map_err(bare)
    }
}

/// Overlay's marks and the host's security labels do not belong to the content.
fn is_ours(name: &CStr) -> bool {
    let name = name.to_bytes();
    (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
        || name == b"security.capability"
        || name.starts_with(b"system.posix_acl_")
}

fn none_of_them(e: Errno) -> nix::Result<Vec<CString>> {
    if e == Errno::EOPNOTSUPP {
        Ok(Vec::new())
    } else {
        Err(e)
    }
}

fn unsupported(e: Errno) -> nix::Result<()> {
    if e == Errno::EOPNOTSUPP {
        Ok(())
    } else {
        Err(e)
    }
}

fn times(stat: &FileStat) -> (TimeSpec, TimeSpec) {
    (
        TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
        TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
    )
}

/// The caller adds the name.
fn bare(e: Errno) -> Error {
    Error::io("", e)
}

#[cfg(test)]
mod tests;
