//! An exact copy of a tree: hard links, holes, owners, modes, times, extended attributes, devices.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstat, futimens,
    mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, Whence, fchown, fchownat, ftruncate, linkat, lseek, symlinkat};

use super::{Entry, is, join, open_root, read};
use crate::beneath::{self, Links};
use crate::error::{Error, Result};
use crate::xattr;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, folders and others.
    pub entries: u64,
    /// Files whose blocks are shared with the source's (reflinks).
    pub shared: u64,
}

/// Copies all beneath `from`, and the folder's own owner, mode, times and attributes, to the folder
/// `to`, which is there and empty. The source must be at rest; the copy is nobody else's until this
/// returns. Nothing is synced.
///
/// # Errors
/// ECANCELED when `cancelled` says so, and whatever could not be copied; the part is left there.
pub fn copy(from: &Path, to: &Path, cancelled: impl Fn() -> bool) -> Result<Copied> {
    let mut work = Work {
        from: open_root(from)?,
        to: open_root(to)?,
        links: HashMap::new(),
        copied: Copied::default(),
        sharing: true,
    };
    let mut folders = vec![PathBuf::new()];
    let mut done = Vec::new();
    while let Some(path) = folders.pop() {
        if cancelled() {
            return Err(Error::new("copy tree", Errno::ECANCELED));
        }
        let (source, entries) = read(&work.from, &path)?;
        let target = beneath::open_dir(&work.to, &path, Links::Refuse)
            .map_err(|e| Error::new(format!("open copy of {}", path.display()), e))?;
        for entry in entries {
            let name = join(&path, &entry.name);
            work.entry(&source, &target, &entry, &name)
                .map_err(|e| Error::new(format!("copy {}", name.display()), e))?;
            if is(&entry.stat, libc::S_IFDIR) {
                folders.push(name);
            }
        }
        done.push(path);
    }
    // Folders last and from the bottom: filling them changed their times, and a mode may forbid it.
    for path in done.iter().rev() {
        work.folder(path)
            .map_err(|e| Error::new(format!("copy folder {}", path.display()), e))?;
    }
    Ok(work.copied)
}

struct Work {
    from: OwnedFd,
    to: OwnedFd,
    /// Files with several names: where the first was copied to.
    links: HashMap<(u64, u64), PathBuf>,
    copied: Copied,
    /// The file systems at both ends can share blocks, as far as is known.
    sharing: bool,
}

impl Work {
    fn entry(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        entry: &Entry,
        path: &Path,
    ) -> nix::Result<()> {
        let Entry { name, stat } = entry;
        let name = name.as_c_str();
        self.copied.entries += 1;
        if is(stat, libc::S_IFDIR) {
            return mkdirat(target, name, Mode::S_IRWXU);
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                return linkat(&self.to, first, target, name, AtFlags::empty());
            }
            let first = path.to_owned();
            self.links.insert((stat.st_dev, stat.st_ino), first);
        }
        if is(stat, libc::S_IFREG) {
            return self.file(source, target, entry);
        }
        if is(stat, libc::S_IFLNK) {
            symlinkat(readlinkat(source, name)?.as_os_str(), target, name)?;
        } else {
            let kind = SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT);
            mknodat(target, name, kind, Mode::S_IRUSR, stat.st_rdev)?;
        }
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        fchownat(target, name, Some(uid(stat)), Some(gid(stat)), flags)?;
        if !is(stat, libc::S_IFLNK) {
            // Made a moment ago and no link: following is no danger, and older kernels know no other way.
            fchmodat(target, name, mode(stat), FchmodatFlags::FollowSymlink)?;
        }
        for attribute in optional(xattr::list_at(source, name))? {
            let value = xattr::get_at(source, name, &attribute)?;
            xattr::set_at(target, name, &attribute, &value)?;
        }
        let (accessed, changed) = times(stat);
        let flags = UtimensatFlags::NoFollowSymlink;
        utimensat(target, name, &accessed, &changed, flags)
    }

    fn file(&mut self, source: &OwnedFd, target: &OwnedFd, entry: &Entry) -> nix::Result<()> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let name = entry.name.as_c_str();
        let from = openat(source, name, flags | OFlag::O_RDONLY, Mode::empty())?;
        let make = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        let to = openat(target, name, flags | make, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let stat = fstat(&from)?;
        if !is(&stat, libc::S_IFREG) {
            return Err(Errno::ESTALE);
        }
        // One file system for all: what is refused once is not asked for again.
        self.sharing = self.sharing && (stat.st_size == 0 || share(&from, &to));
        if self.sharing {
            self.copied.shared += u64::from(stat.st_size > 0);
        } else {
            data(&from, &to, stat.st_size)?;
        }
        attributes(&from, &to, &stat)
    }

    fn folder(&self, path: &Path) -> nix::Result<()> {
        let from = beneath::open_dir(&self.from, path, Links::Refuse)?;
        let to = beneath::open_dir(&self.to, path, Links::Refuse)?;
        attributes(&from, &to, &fstat(&from)?)
    }
}

/// Owner, mode, attributes, times, in this order: a change of owner clears set-user-id and file
/// capabilities (chown(2)), and everything but the last touches a time.
fn attributes(from: &OwnedFd, to: &OwnedFd, stat: &FileStat) -> nix::Result<()> {
    fchown(to, Some(uid(stat)), Some(gid(stat)))?;
    fchmod(to, mode(stat))?;
    for attribute in optional(xattr::list(from))? {
        xattr::set(to, &attribute, &xattr::get(from, &attribute)?)?;
    }
    let (accessed, changed) = times(stat);
    futimens(to, &accessed, &changed)
}

fn optional(names: nix::Result<Vec<CString>>) -> nix::Result<Vec<CString>> {
    match names {
        Err(Errno::EOPNOTSUPP) => Ok(Vec::new()),
        other => other,
    }
}

fn uid(stat: &FileStat) -> Uid {
    Uid::from_raw(stat.st_uid)
}

fn gid(stat: &FileStat) -> Gid {
    Gid::from_raw(stat.st_gid)
}

fn mode(stat: &FileStat) -> Mode {
    Mode::from_bits_truncate(stat.st_mode & 0o7777)
}

fn times(stat: &FileStat) -> (TimeSpec, TimeSpec) {
    (
        TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
        TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
    )
}

/// `FICLONE` of ioctl_ficlone(2): both files share their blocks until one is written to.
fn share(from: &OwnedFd, to: &OwnedFd) -> bool {
    const FICLONE: libc::c_ulong = 0x4004_9409;
    // SAFETY: the request takes a descriptor as its argument and no pointer; both are open.
    unsafe { libc::ioctl(to.as_raw_fd(), FICLONE as _, from.as_raw_fd()) == 0 }
}

/// Copies the parts that hold data; what lies between stays a hole.
fn data(from: &OwnedFd, to: &OwnedFd, size: i64) -> nix::Result<()> {
    ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match lseek(from, at, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => return Ok(()),
            // A file system without the notion: all is data.
            Err(Errno::EINVAL) => at,
            Err(e) => return Err(e),
        };
        let end = match lseek(from, start, Whence::SeekHole) {
            Ok(end) => end,
            Err(Errno::EINVAL) => size,
            Err(e) => return Err(e),
        };
        range(from.as_fd(), to.as_fd(), start, end.min(size))?;
        at = end;
    }
    Ok(())
}

fn range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: i64, end: i64) -> nix::Result<()> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let length = usize::try_from(end - read).unwrap_or(usize::MAX);
        // SAFETY: both offsets live through the call, both descriptors are open.
        let moved = unsafe {
            let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
            libc::copy_file_range(from, &raw mut read, to, &raw mut written, length, 0)
        };
        match Errno::result(moved) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            // copy_file_range(2): other file system types, or a kernel without it for these.
            Err(Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                return by_buffer(from, to, read, end);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn by_buffer(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: i64, end: i64) -> nix::Result<()> {
    use nix::sys::uio::{pread, pwrite};
    let mut buffer = vec![0; 128 * 1024];
    let mut at = start;
    while at < end {
        let want = usize::try_from(end - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let length = pread(from, &mut buffer[..want], at)?;
        if length == 0 {
            return Ok(());
        }
        let mut written = 0;
        while written < length {
            let place = at + i64::try_from(written).unwrap_or(i64::MAX);
            written += pwrite(to, &buffer[written..length], place)?;
        }
        at += i64::try_from(length).unwrap_or(i64::MAX);
    }
    Ok(())
}
