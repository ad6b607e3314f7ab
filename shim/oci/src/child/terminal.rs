//! The container's pseudo terminal, from its own devpts: its slave becomes the standard streams and, for the first
//! process, /dev/console.

use crate::error::{FailureKind, Kind, Result};
use gantry_sys::beneath::{self, Links};
use gantry_sys::{Error, mount, process, pty};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Opens one beneath `root`, takes it as controlling terminal and standard streams, and answers its master.
pub(super) fn open(root: &OwnedFd, rows: u16, cols: u16, console: bool) -> Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
    let ptmx = beneath::open(
        root,
        Path::new("/dev/pts/ptmx"),
        flags,
        Mode::empty(),
        Links::Refuse,
    );
    let ptmx = ptmx.map_err(|e| Error::new("open terminal multiplexer /dev/pts/ptmx", e))?;
    let pair = pty::open(ptmx)?;
    if rows > 0 && cols > 0 {
        pty::resize(&pair.master, rows, cols)?;
    }
    if console {
        let target = beneath::touch(root, Path::new("/dev/console"), 0o620, Links::Refuse)
            .kind(FailureKind::Mount)?;
        let bound =
            mount::open_tree_fd(&pair.slave, false).and_then(|fd| mount::attach(&fd, &target));
        bound
            .map_err(|e| e.within("bind /dev/console"))
            .kind(FailureKind::Mount)?;
    }
    let slave = pair.slave.as_fd();
    pty::set_controlling(slave)?;
    process::set_stdio([slave, slave, slave])?;
    Ok(pair.master)
}
