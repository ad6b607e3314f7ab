//! Opening paths beneath a directory descriptor, so that nothing inside an untrusted tree can lead out of it.
//!
//! Built on openat2(2) (Linux 5.6): `RESOLVE_IN_ROOT` takes the descriptor as `/` for absolute paths, absolute
//! symlinks and `..`; `RESOLVE_NO_MAGICLINKS` refuses the jumping links of procfs. There is no fallback by string.

mod create;

pub use create::{mkdir_all, read_file, touch};

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

/// The kernel answers EAGAIN when a rename elsewhere on the system raced a `..`; it asks callers to try again.
const TRIES: u32 = 128;

/// How symlinks on the way are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Followed, with the directory as root.
    InRoot,
    /// Any symlink on the way (also as the last part, unless `O_PATH | O_NOFOLLOW`) is ELOOP.
    Refuse,
}

/// Opens `path` beneath `root`. `O_CLOEXEC` is always added. `mode` is used with `O_CREAT` only.
///
/// # Errors
/// The errno of openat2(2).
pub fn open<F: AsFd>(
    root: F,
    path: &Path,
    flags: OFlag,
    mode: Mode,
    links: Links,
) -> nix::Result<OwnedFd> {
    let mut resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlag::RESOLVE_NO_SYMLINKS;
    }
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(mode)
        .resolve(resolve);
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    for _ in 0..TRIES {
        match openat2(root.as_fd(), path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other,
        }
    }
    Err(Errno::EAGAIN)
}

/// Opens a directory beneath `root` for `*at` calls and for reading its entries.
///
/// # Errors
/// The errno of openat2(2); ENOTDIR if it is something else.
pub fn open_dir<F: AsFd>(root: F, path: &Path, links: Links) -> nix::Result<OwnedFd> {
    open(
        root,
        path,
        OFlag::O_RDONLY | OFlag::O_DIRECTORY,
        Mode::empty(),
        links,
    )
}

/// Opens a regular file beneath `root` for reading, following symlinks in root. A FIFO or device at that place never
/// blocks and is refused.
///
/// # Errors
/// The errno of openat2(2); EINVAL if it is no regular file.
pub fn open_regular<F: AsFd>(root: F, path: &Path) -> nix::Result<OwnedFd> {
    let fd = open(
        root,
        path,
        OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY,
        Mode::empty(),
        Links::InRoot,
    )?;
    let kind = nix::sys::stat::fstat(&fd)?.st_mode & libc::S_IFMT;
    if kind == libc::S_IFREG {
        Ok(fd)
    } else {
        Err(Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree(name: &str) -> std::path::PathBuf {
        let dir =
            std::env::temp_dir().join(format!("gantry-beneath-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("root/etc")).unwrap();
        std::fs::write(dir.join("outside"), "outside").unwrap();
        std::fs::write(dir.join("root/etc/passwd"), "inside").unwrap();
        dir
    }

    #[test]
    fn nothing_leads_out() {
        let dir = tree("out");
        symlink("../../../outside", dir.join("root/up")).unwrap();
        symlink("/etc/passwd", dir.join("root/abs")).unwrap();
        symlink("/proc/self/cwd", dir.join("root/magic")).unwrap();
        let root = std::fs::File::open(dir.join("root")).unwrap();
        let read = |p: &str| {
            open(
                &root,
                Path::new(p),
                OFlag::O_RDONLY,
                Mode::empty(),
                Links::InRoot,
            )
        };
        assert_eq!(read("up").unwrap_err(), Errno::ENOENT);
        assert_eq!(read("../outside").unwrap_err(), Errno::ENOENT);
        assert_eq!(read("magic").unwrap_err(), Errno::ENOENT);
        let inside = std::io::read_to_string(std::fs::File::from(read("abs").unwrap())).unwrap();
        assert_eq!(inside, "inside");
        let refused = open(
            &root,
            Path::new("abs"),
            OFlag::O_RDONLY,
            Mode::empty(),
            Links::Refuse,
        );
        assert_eq!(refused.unwrap_err(), Errno::ELOOP);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_fifo_neither_blocks_nor_passes() {
        let dir = tree("fifo");
        nix::unistd::mkfifo(&dir.join("root/f"), Mode::S_IRUSR).unwrap();
        let root = std::fs::File::open(dir.join("root")).unwrap();
        assert_eq!(
            open_regular(&root, Path::new("f")).unwrap_err(),
            Errno::EINVAL
        );
        assert!(open_regular(&root, Path::new("/etc/passwd")).is_ok());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
