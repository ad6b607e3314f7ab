//! What a foreground runner does while its process runs: passes signals on, and copies between its own terminal and the
//! process's. For a detached one the master is handed to whoever asked for it.

use crate::error::{LaunchError, Result};
use gantry_sys::{fdpass, process, pty};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Signals taken as descriptors from here on; children start with none blocked.
pub(super) struct Signals(SignalFd);

impl Signals {
    pub(super) fn block() -> Result<Self> {
        let mut set = SigSet::all();
        for own in [
            Signal::SIGCHLD,
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGILL,
            Signal::SIGFPE,
            Signal::SIGABRT,
        ] {
            set.remove(own);
        }
        let failed = |e| LaunchError::from(gantry_sys::Error::new("take signals", e));
        set.thread_block().map_err(failed)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&set, flags).map(Self).map_err(failed)
    }
}

/// Hands a terminal's master to the socket of `--console-socket`.
pub(super) fn hand_over(path: &Path, master: &OwnedFd) -> Result<()> {
    let failed = |e| {
        let what = format!("send terminal to {}", path.display());
        LaunchError::from(gantry_sys::Error::new(what, e))
    };
    let made = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    );
    let socket = made.map_err(failed)?;
    let address = UnixAddr::new(path).map_err(failed)?;
    connect(socket.as_raw_fd(), &address).map_err(failed)?;
    fdpass::send(&socket, b"/dev/ptmx", &[master.as_fd()])?;
    Ok(())
}

/// Our own terminal in raw mode, put back at the end.
struct Raw(Termios);

impl Raw {
    fn set() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Stays until the process has ended and its terminal is drained.
pub(super) fn attend(pidfd: &OwnedFd, console: Option<OwnedFd>, signals: &Signals) -> Result<()> {
    let _raw = console.as_ref().and_then(|_| Raw::set());
    if let Some(console) = &console {
        fit(console);
    }
    let mut input = console.is_some();
    let mut output = console.is_some();
    loop {
        let stdin = std::io::stdin();
        let mut fds = vec![
            PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.0.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(console) = console.as_ref().filter(|_| output) {
            fds.push(PollFd::new(console.as_fd(), PollFlags::POLLIN));
            if input {
                fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            }
        }
        let _ = poll(&mut fds, PollTimeout::NONE);
        let ready = |n: usize| fds.get(n).is_some_and(|f| f.any() == Some(true));
        let (ended, signalled, said, typed) = (ready(0), ready(1), ready(2), ready(3));
        drop(fds);
        if signalled {
            pass_signals(pidfd, console.as_ref(), signals)?;
        }
        if let Some(console) = &console {
            if said {
                // A master whose last slave has gone says EIO.
                output = copy(console.as_fd(), std::io::stdout().as_fd());
            }
            if typed {
                input = copy(stdin.as_fd(), console.as_fd());
            }
        }
        if ended && !(output && said) {
            return Ok(());
        }
    }
}

fn pass_signals(pidfd: &OwnedFd, console: Option<&OwnedFd>, signals: &Signals) -> Result<()> {
    while let Ok(Some(info)) = signals.0.read_signal() {
        let number = info.ssi_signo.cast_signed();
        match console {
            Some(console) if number == libc::SIGWINCH => fit(console),
            _ => {
                // It may have ended by now.
                let _ = process::pidfd_send_signal(pidfd, number);
            }
        }
    }
    Ok(())
}

/// The process's terminal gets our own one's size.
fn fit(console: &OwnedFd) {
    if let Some((rows, cols)) = pty::size(std::io::stdin()) {
        let _ = pty::resize(console, rows, cols);
    }
}

/// Copies what is there. Whether there may be more.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 4096];
    let Ok(n @ 1..) = nix::unistd::read(from, &mut buffer) else {
        return false;
    };
    let mut rest = &buffer[..n];
    while !rest.is_empty() {
        match nix::unistd::write(to, rest) {
            Ok(n) => rest = &rest[n..],
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    true
}
