//! The caller's end of a child being started. Packets on a private socket pair:
//!
//! ```text
//!  child                          caller
//!   P  place me (external only)  →
//!                                ←  p
//!   R  ready (+ root, console)   →
//!                                ←  g, and the child's pid as the caller counts
//!   (socket closes: executed)    →
//!   E  error, JSON               →     at any time, then the child ends
//! ```

use crate::error::{FailureKind, LaunchError};
use gantry_sys::{Errno, fdpass, process};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Longest packet; an error message is cut to fit.
pub(crate) const PACKET: usize = 8192;

/// A child that has been cloned and is on its way. Dropping it lets a child that was not told to go end by itself;
/// reaping it is the caller's in every case.
#[derive(Debug)]
pub struct Pending {
    /// The child's pid in the caller's PID namespace.
    pub pid: i32,
    /// The child's pidfd.
    pub pidfd: OwnedFd,
    report: OwnedFd,
    /// Whether [`Pending::go`] was said: before it, a closed socket means a dead child.
    told: bool,
    /// Processes beside the child that end when it is ready, reaped here.
    helpers: Vec<OwnedFd>,
}

/// What a ready child has sent.
#[derive(Debug)]
pub struct Ready {
    /// The root mount as the container sees it (not for an exec). While held, the mount lives: drop it where
    /// unmounting an overlay may take its time, in a short-lived child.
    pub rootfs: Option<OwnedFd>,
    /// Master side of its terminal, blocking mode.
    pub console: Option<OwnedFd>,
    /// What was asked for and could not be granted, in words; the container is to start without it.
    pub warnings: Vec<String>,
}

/// What is known after a [`Pending::poll`].
#[derive(Debug)]
pub enum Progress {
    /// Nothing new: poll [`Pending::as_fd`] for reading.
    Waiting,
    /// It wants to be moved into its cgroup from outside; then call [`Pending::placed`].
    Place,
    /// Made and blocked; call [`Pending::go`] to start it.
    Ready(Ready),
    /// The command runs; this value is of no more use than its pid and pidfd.
    Running,
}

impl AsFd for Pending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }
}

impl Pending {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd, report: OwnedFd) -> Self {
        Self {
            pid,
            pidfd,
            report,
            told: false,
            helpers: Vec::new(),
        }
    }

    pub(crate) fn with_helper(mut self, helper: Option<OwnedFd>) -> Self {
        self.helpers.extend(helper);
        self
    }

    /// Helpers have nothing more to do; one that still hangs in something is not waited for.
    fn reap_helpers(&mut self) {
        for helper in self.helpers.drain(..) {
            let _ = process::pidfd_send_signal(&helper, libc::SIGKILL);
            let _ = process::wait(&helper);
        }
    }

    /// Takes the next thing the child has said. Never blocks.
    ///
    /// # Errors
    /// The child's own error, after which it ends; or that it died before it said anything.
    pub fn poll(&mut self) -> Result<Progress, LaunchError> {
        let mut buffer = vec![0; PACKET];
        let got = match fdpass::recv(&self.report, &mut buffer) {
            Err(e) if e.errno() == Errno::EAGAIN => return Ok(Progress::Waiting),
            Err(e) if e.errno() == Errno::ECONNRESET => return self.closed(),
            other => other?,
        };
        let mut fds = got.fds.into_iter();
        match buffer[..got.len].split_first() {
            None => self.closed(),
            Some((b'P', _)) => Ok(Progress::Place),
            Some((b'R', rest)) => {
                self.reap_helpers();
                let (root, warnings) = rest.split_first().unwrap_or((&0, &[]));
                Ok(Progress::Ready(Ready {
                    rootfs: if *root == 1 { fds.next() } else { None },
                    console: fds.next(),
                    warnings: serde_json::from_slice(warnings).unwrap_or_default(),
                }))
            }
            Some((b'E', text)) => Err(serde_json::from_slice(text).unwrap_or_else(|_| {
                LaunchError::new(
                    FailureKind::System,
                    String::from_utf8_lossy(text).into_owned(),
                )
            })),
            Some(_) => Err(LaunchError::new(
                FailureKind::System,
                "container child sent an unknown packet",
            )),
        }
    }

    /// The socket has no writer any more: the child was executed over, or died before.
    fn closed(&self) -> Result<Progress, LaunchError> {
        if !self.told {
            return Err(LaunchError::new(
                FailureKind::System,
                "the container's child died before it was ready",
            ));
        }
        // A child killed between go and exec closes the same way; its exit code is then all there is to say.
        Ok(Progress::Running)
    }

    /// Says that the child has been placed in its cgroup.
    ///
    /// # Errors
    /// EPIPE when the child is gone.
    pub fn placed(&mut self) -> Result<(), LaunchError> {
        self.say(b"p")
    }

    /// Lets a ready child execute its command. Poll again until `Running` or an error.
    ///
    /// # Errors
    /// EPIPE when the child is gone.
    pub fn go(&mut self) -> Result<(), LaunchError> {
        self.told = true;
        self.say(format!("g{}", self.pid).as_bytes())
    }

    fn say(&self, word: &[u8]) -> Result<(), LaunchError> {
        fdpass::send(&self.report, word, &[])?;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.reap_helpers();
    }
}
