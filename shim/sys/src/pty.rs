//! Pseudo terminals of a devpts instance held by descriptor: no path inside a container is trusted.

use crate::error::{Error, Result};
use crate::raw::{check, check_fd};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Magic number of devpts (linux/magic.h).
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// A master and its other end.
#[derive(Debug)]
pub struct Pty {
    /// The caller's side.
    pub master: OwnedFd,
    /// The process's side.
    pub slave: OwnedFd,
}

/// Opens a new terminal of the devpts instance behind `ptmx`, a descriptor of its `ptmx` file opened read-write.
///
/// # Errors
/// EINVAL when the file is not a devpts multiplexer, ENOSPC at the limit of terminals.
pub fn open(ptmx: OwnedFd) -> Result<Pty> {
    let stat = nix::sys::stat::fstat(&ptmx).map_err(|e| Error::new("stat ptmx", e))?;
    let rdev = (
        nix::sys::stat::major(stat.st_rdev),
        nix::sys::stat::minor(stat.st_rdev),
    );
    let fs = nix::sys::statfs::fstatfs(&ptmx)
        .map_err(|e| Error::new("look at file system of ptmx", e))?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFCHR
        || rdev != (5, 2)
        || fs.filesystem_type().0 != DEVPTS_MAGIC
    {
        return Err(Error::new(
            "open terminal: ptmx is not that of a devpts",
            Errno::EINVAL,
        ));
    }
    let unlock: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    let ret = unsafe { libc::ioctl(ptmx.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock) };
    check(ret.into(), || "unlock terminal".into())?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open flags and returns a fresh descriptor (Linux 4.13).
    let ret = unsafe { libc::ioctl(ptmx.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    let slave = check_fd(ret.into(), || "open terminal".into())?;
    Ok(Pty {
        master: ptmx,
        slave,
    })
}

/// Sets the window size; the foreground process group of the terminal gets SIGWINCH.
///
/// # Errors
/// ENOTTY.
pub fn resize(master: impl AsFd, rows: u16, cols: u16) -> Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads one winsize.
    let ret = unsafe {
        libc::ioctl(
            master.as_fd().as_raw_fd(),
            libc::TIOCSWINSZ,
            &raw const size,
        )
    };
    check(ret.into(), || "resize terminal".into()).map(|_| ())
}

/// The window size of a terminal, rows and columns; `None` for what is no terminal.
#[must_use]
pub fn size(terminal: impl AsFd) -> Option<(u16, u16)> {
    // SAFETY: winsize is plain data for which zero is valid.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: TIOCGWINSZ fills one winsize.
    let ret = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) };
    (ret == 0).then_some((size.ws_row, size.ws_col))
}

/// Makes the terminal the controlling one of the calling session leader.
///
/// # Errors
/// EPERM when the caller leads no session or has one already.
pub fn set_controlling(slave: impl AsFd) -> Result<()> {
    // SAFETY: TIOCSCTTY takes an integer; 0 does not steal.
    let ret = unsafe { libc::ioctl(slave.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) };
    check(ret.into(), || "set controlling terminal".into()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_no_terminal() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(open(null.into()).unwrap_err().errno(), Errno::EINVAL);
    }
}
