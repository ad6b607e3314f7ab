//! What a child that calls another runtime says, on a private socket pair:
//!
//! ```text
//!  child                              supervisor
//!   R  made (+ pid, root, console)   →
//!                                    ←  g
//!   S  runs (+ pid, console)         →
//!   E  error, JSON                   →   at any time, then the child ends
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_oci::{FailureKind, LaunchError};
use gantry_sys::{Errno, fdpass};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::{Deserialize, Serialize};

use super::{Made, Progress};

/// Longest packet; an error's message is cut to fit.
const PACKET: usize = 8192;

/// What comes with `R` and `S`, in the order of the descriptors.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) root: bool,
    pub(super) console: bool,
    /// 0: no process yet.
    pub(super) pid: i32,
}

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct Foreign {
    socket: OwnedFd,
    /// Key of the child.
    pub(crate) work: u32,
    pub(crate) terminal: bool,
    /// Size for a terminal that is not there yet: rows, columns.
    pub(crate) size: Option<(u16, u16)>,
}

/// Ours, non-blocking, and the child's.
pub(super) fn pair() -> gantry_sys::Result<(OwnedFd, OwnedFd)> {
    let failed = |e| gantry_sys::Error::new("make report socket", e);
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(failed)?;
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&ours, flags).map_err(failed)?;
    Ok((ours, theirs))
}

impl AsFd for Foreign {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Foreign {
    pub(super) fn new(socket: OwnedFd, work: u32, terminal: bool) -> Self {
        Self {
            socket,
            work,
            terminal,
            size: None,
        }
    }

    pub(super) fn poll(&mut self) -> Result<Progress, LaunchError> {
        match receive(&self.socket)? {
            // How it has ended is told when it is reaped.
            Received::Nothing | Received::Closed => Ok(Progress::Waiting),
            Received::Ready(made) => Ok(Progress::Ready(made)),
            Received::Runs(made) => Ok(Progress::Running(made)),
        }
    }

    pub(super) fn go(&mut self) -> Result<(), LaunchError> {
        fdpass::send(&self.socket, b"g", &[])?;
        Ok(())
    }
}

/// What is in the socket.
#[derive(Debug)]
pub(super) enum Received {
    Nothing,
    Closed,
    Ready(Made),
    Runs(Made),
}

/// Takes one packet.
///
/// # Errors
/// The child's own.
pub(super) fn receive(socket: &OwnedFd) -> Result<Received, LaunchError> {
    let mut buffer = vec![0; PACKET];
    let got = match fdpass::recv(socket, &mut buffer) {
        Err(e) if e.errno() == Errno::EAGAIN => return Ok(Received::Nothing),
        Err(e) if e.errno() == Errno::ECONNRESET => return Ok(Received::Closed),
        other => other?,
    };
    let mut fds = got.fds.into_iter();
    let mut made = |text: &[u8]| {
        let said: Said = serde_json::from_slice(text).unwrap_or_default();
        let mut take = |there: bool| if there { fds.next() } else { None };
        Made {
            rootfs: take(said.root),
            console: take(said.console),
            process: take(said.pid > 0).map(|pidfd| (said.pid, pidfd)),
        }
    };
    match buffer[..got.len].split_first() {
        None => Ok(Received::Closed),
        Some((b'R', text)) => Ok(Received::Ready(made(text))),
        Some((b'S', text)) => Ok(Received::Runs(made(text))),
        Some((_, text)) => Err(
            serde_json::from_slice(text).unwrap_or_else(|_| LaunchError {
                kind: FailureKind::System,
                message: String::from_utf8_lossy(text).into_owned(),
                errno: 0,
            }),
        ),
    }
}

/// The child's end.
pub(super) struct Report<'a>(pub(super) &'a OwnedFd);

impl Report<'_> {
    /// Says `R` or `S`.
    pub(super) fn say(
        &self,
        word: u8,
        root: Option<BorrowedFd<'_>>,
        console: Option<BorrowedFd<'_>>,
        process: Option<(i32, BorrowedFd<'_>)>,
    ) -> Result<(), LaunchError> {
        let said = Said {
            root: root.is_some(),
            console: console.is_some(),
            pid: process.map_or(0, |(pid, _)| pid),
        };
        let mut packet = vec![word];
        packet.extend(serde_json::to_vec(&said).unwrap_or_default());
        let fds: Vec<_> = root
            .into_iter()
            .chain(console)
            .chain(process.map(|(_, fd)| fd))
            .collect();
        fdpass::send(self.0, &packet, &fds)?;
        Ok(())
    }

    /// Waits to be told to go; `false` when there is nobody who could.
    pub(super) fn wait(&self) -> Result<bool, LaunchError> {
        let mut buffer = [0; 8];
        let got = fdpass::recv(self.0, &mut buffer)?;
        Ok(got.len > 0)
    }

    pub(super) fn fail(&self, error: &LaunchError) {
        let mut error = error.clone();
        let longest = PACKET / 8;
        if error.message.len() > longest {
            let cut = (0..=longest)
                .rev()
                .find(|at| error.message.is_char_boundary(*at))
                .unwrap_or(0);
            error.message.truncate(cut);
        }
        let mut packet = vec![b'E'];
        packet.extend(serde_json::to_vec(&error).unwrap_or_default());
        // Nobody left to tell.
        let _ = fdpass::send(self.0, &packet, &[]);
    }
}
