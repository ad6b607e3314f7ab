//! Making the entries of a layer: each beneath an open parent directory, never through a link as its last part.

use std::ffi::{CString, OsStr};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use gantry_sys::beneath::{self, Links};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::sys::time::TimeSpec;
use nix::unistd::{linkat, symlinkat, syncfs};

use super::meta::{self, Owners};
use super::path;
use crate::archive::{Archive, Entry, EntryKind};
use crate::error::{Error, Result, show};
use crate::remove::remove;

const BUFFER: usize = 256 << 10;

/// The tree a layer is unpacked into.
pub(super) struct Tree {
    root: Rc<OwnedFd>,
    owners: Owners,
    /// The parent looked up last: archives list a directory's entries together.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// Times of directories, set at the end: every entry made inside moves them.
    dir_times: Vec<(Vec<u8>, (TimeSpec, TimeSpec))>,
    buffer: Vec<u8>,
    pub(super) ignored_xattrs: u64,
}

impl Tree {
    pub(super) fn new(root: &OwnedFd, owners: Owners) -> Result<Self> {
        let root = root
            .try_clone()
            .map_err(|e| Error::io("duplicate the root's descriptor", e))?;
        let (parent, dir_times) = (None, Vec::new());
        Ok(Self {
            root: Rc::new(root),
            owners,
            parent,
            dir_times,
            buffer: vec![0; BUFFER],
            ignored_xattrs: 0,
        })
    }

    pub(super) fn root_meta(&mut self, entry: &Entry) -> Result<()> {
        self.ignored_xattrs += meta::set(&*self.root, entry, self.owners)?;
        self.dir_times.push((Vec::new(), meta::times(entry)));
        Ok(())
    }

    pub(super) fn file<R: Read>(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
        content: &mut Archive<'_, R>,
    ) -> Result<()> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let (_, _, fd) = self.make(entry, parent, name, |dir, name| {
            openat(dir, name.as_c_str(), flags, mode)
        })?;
        let file = std::fs::File::from(fd);
        self.write(entry, &file, content)?;
        self.ignored_xattrs += meta::set(&file, entry, self.owners)?;
        meta::set_times(&file, meta::times(entry), &entry.path)
    }

    fn write<R: Read>(
        &mut self,
        entry: &Entry,
        file: &std::fs::File,
        content: &mut Archive<'_, R>,
    ) -> Result<()> {
        let fail = |e| Error::io(format!("write {}", show(&entry.path)), e);
        let mut run = |from: u64, len: u64| -> Result<()> {
            let mut at = from;
            let end = from.saturating_add(len);
            while at < end {
                let want = self
                    .buffer
                    .len()
                    .min(usize::try_from(end - at).unwrap_or(usize::MAX));
                let got = content
                    .read(&mut self.buffer[..want])
                    .map_err(|e| Error::from_read("read archive", e))?;
                if got == 0 {
                    return Err(Error::Archive(format!(
                        "archive ends inside {}",
                        show(&entry.path)
                    )));
                }
                file.write_all_at(&self.buffer[..got], at).map_err(fail)?;
                at += got as u64;
            }
            Ok(())
        };
        match &entry.segments {
            None => run(0, entry.file_size),
            Some(segments) => {
                segments.iter().try_for_each(|s| run(s.offset, s.len))?;
                file.set_len(entry.file_size).map_err(fail)
            }
        }
    }

    pub(super) fn dir(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<()> {
        let dir = self.dir_fd(parent, &entry.path)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let c_name = c_name(name)?;
        let open = || openat(&*dir, c_name.as_c_str(), flags, Mode::empty());
        let fd = match mkdirat(&*dir, c_name.as_c_str(), Mode::S_IRWXU) {
            Ok(()) => open(),
            // A directory that is there already is kept and gets this entry's owner and mode.
            Err(Errno::EEXIST) => open().or_else(|e| match e {
                Errno::ENOTDIR | Errno::ELOOP => {
                    self.parent = None;
                    remove(&*dir, &c_name).map_err(|_| e)?;
                    mkdirat(&*dir, c_name.as_c_str(), Mode::S_IRWXU)?;
                    open()
                }
                e => Err(e),
            }),
            Err(e) => Err(e),
        };
        let fd = fd.map_err(|e| Error::io(format!("make directory {}", show(&entry.path)), e))?;
        self.ignored_xattrs += meta::set(&fd, entry, self.owners)?;
        self.dir_times
            .push((path::join(parent, name), meta::times(entry)));
        Ok(())
    }

    pub(super) fn symlink(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<()> {
        let target = OsStr::from_bytes(&entry.link);
        let (dir, name, ()) = self.make(entry, parent, name, |dir, name| {
            symlinkat(target, dir, name.as_c_str())
        })?;
        self.ignored_xattrs += meta::set_at(&*dir, &name, entry, self.owners)?;
        Ok(())
    }

    /// Links to the name itself, not to what a symlink of that name points to; owner and mode stay the target's.
    pub(super) fn hardlink(
        &mut self,
        entry: &Entry,
        target: &[u8],
        parent: &[u8],
        name: &[u8],
    ) -> Result<()> {
        let missing = || {
            Error::Archive(format!(
                "entry {}: hard link to a missing file",
                show(&entry.path)
            ))
        };
        let (from_dir, from_name) = path::split(target).ok_or_else(missing)?;
        if path::join(parent, name) == target {
            return Err(Error::Archive(format!(
                "entry {}: hard link to itself",
                show(&entry.path)
            )));
        }
        let from = self.existing_dir(from_dir)?.ok_or_else(missing)?;
        let from_name = c_name(from_name)?;
        let link = |dir: &OwnedFd, name: &CString| {
            linkat(
                &from,
                from_name.as_c_str(),
                dir,
                name.as_c_str(),
                AtFlags::empty(),
            )
        };
        match self.make(entry, parent, name, link) {
            Err(Error::Io { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => {
                Err(missing())
            }
            other => other.map(drop),
        }
    }

    pub(super) fn node(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<()> {
        let kind = match entry.kind {
            EntryKind::CharDevice => SFlag::S_IFCHR,
            EntryKind::BlockDevice => SFlag::S_IFBLK,
            _ => SFlag::S_IFIFO,
        };
        if kind == SFlag::S_IFCHR && entry.device == (0, 0) {
            // This is how overlay marks a whiteout; an archive says it by name.
            return Err(Error::Archive(format!(
                "entry {}: character device 0:0",
                show(&entry.path)
            )));
        }
        let device = makedev(u64::from(entry.device.0), u64::from(entry.device.1));
        let mode = Mode::from_bits_truncate(entry.mode);
        let make =
            |dir: &OwnedFd, name: &CString| mknodat(dir, name.as_c_str(), kind, mode, device);
        let (dir, name, ()) = self.make(entry, parent, name, make)?;
        self.ignored_xattrs += meta::set_at(&*dir, &name, entry, self.owners)?;
        Ok(())
    }

    /// Makes something that is no directory; what has the name already goes, a directory with all it holds.
    fn make<T>(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
        make: impl Fn(&OwnedFd, &CString) -> nix::Result<T>,
    ) -> Result<(Rc<OwnedFd>, CString, T)> {
        let dir = self.dir_fd(parent, &entry.path)?;
        let name = c_name(name)?;
        let made = match make(&dir, &name) {
            Err(Errno::EEXIST) => {
                self.parent = None;
                remove(&*dir, &name)?;
                make(&dir, &name)
            }
            other => other,
        };
        let made = made.map_err(|e| Error::io(format!("make {}", show(&entry.path)), e))?;
        Ok((dir, name, made))
    }

    /// The open directory of this path, made with its missing parents if need be.
    fn dir_fd(&mut self, path: &[u8], whole: &[u8]) -> Result<Rc<OwnedFd>> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        match &self.parent {
            Some((cached, fd)) if cached == path => return Ok(Rc::clone(fd)),
            _ => {}
        }
        let fd = match beneath::open_dir(
            &*self.root,
            Path::new(OsStr::from_bytes(path)),
            Links::InRoot,
        ) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => self.make_parents(path, whole)?,
            Err(e) => return Err(bad_parent(whole, e)),
        };
        let fd = Rc::new(fd);
        self.parent = Some((path.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    fn make_parents(&self, path: &[u8], whole: &[u8]) -> Result<OwnedFd> {
        let Some((parent, name)) = path::split(path) else {
            return self
                .root
                .try_clone()
                .map_err(|e| Error::io("duplicate the root's descriptor", e));
        };
        let dir = match beneath::open_dir(
            &*self.root,
            Path::new(OsStr::from_bytes(parent)),
            Links::InRoot,
        ) {
            Err(Errno::ENOENT) => self.make_parents(parent, whole)?,
            other => other.map_err(|e| bad_parent(whole, e))?,
        };
        let mode = Mode::from_bits_truncate(0o755);
        // EEXIST means a dangling symlink, which must not be followed into making something.
        mkdirat(&dir, OsStr::from_bytes(name), mode).map_err(|e| bad_parent(whole, e))?;
        beneath::open_dir(&dir, Path::new(OsStr::from_bytes(name)), Links::Refuse)
            .map_err(|e| bad_parent(whole, e))
    }

    /// The open directory of this path, if there is one.
    pub(super) fn existing_dir(&self, path: &[u8]) -> Result<Option<OwnedFd>> {
        self.open_dir(path, OFlag::empty())
    }

    /// The same, unless the last part is a symlink.
    pub(super) fn real_dir(&self, path: &[u8]) -> Result<Option<OwnedFd>> {
        self.open_dir(path, OFlag::O_NOFOLLOW)
    }

    fn open_dir(&self, path: &[u8], flags: OFlag) -> Result<Option<OwnedFd>> {
        let flags = flags | OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        match beneath::open(
            &*self.root,
            Path::new(OsStr::from_bytes(path)),
            flags,
            Mode::empty(),
            Links::InRoot,
        ) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(e) => Err(Error::io(format!("open directory {}", show(path)), e)),
        }
    }

    /// Paths may lead elsewhere now.
    pub(super) fn forget(&mut self) {
        self.parent = None;
    }

    /// Sets what had to wait, and flushes.
    pub(super) fn finish(&mut self, sync: bool) -> Result<()> {
        for (path, times) in std::mem::take(&mut self.dir_times) {
            // Removed or replaced by a later entry: nothing to do.
            if let Some(fd) = self.real_dir(&path)? {
                meta::set_times(&fd, times, &path)?;
            }
        }
        if sync {
            syncfs(&*self.root).map_err(|e| Error::io("flush the unpacked files", e))?;
        }
        Ok(())
    }
}

fn bad_parent(whole: &[u8], e: Errno) -> Error {
    match e {
        Errno::ENOTDIR | Errno::EEXIST | Errno::ELOOP => {
            Error::Archive(format!("entry {}: its parent is no directory", show(whole)))
        }
        e => Error::io(format!("open parent of {}", show(whole)), e),
    }
}

fn c_name(name: &[u8]) -> Result<CString> {
    CString::new(name).map_err(|_| Error::Archive(format!("name {} with a zero byte", show(name))))
}
