//! The child's end of the report socket; see [`crate::pending`] for the packets.

use crate::error::{FailureKind, LaunchError, Result};
use crate::pending::PACKET;
use gantry_sys::{fdpass, process};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// The socket to the caller; close-on-exec, so that its end is the news of a successful exec.
pub(crate) struct Report<'a>(&'a OwnedFd);

impl<'a> Report<'a> {
    pub(crate) fn new(socket: &'a OwnedFd) -> Self {
        Self(socket)
    }

    pub(crate) fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Asks to be moved into a cgroup from outside, and waits.
    pub(crate) fn ask_for_placement(&self) -> Result<()> {
        fdpass::send(self.0, b"P", &[])?;
        self.wait(b'p').map(|_| ())
    }

    /// Says that everything is made, hands out the descriptors, and waits to be told to go. Answers the pid of this
    /// process as the caller counts.
    pub(crate) fn ready(
        &self,
        [root, console]: [Option<BorrowedFd<'_>>; 2],
        warnings: &[String],
    ) -> Result<i32> {
        let fds: Vec<_> = root.into_iter().chain(console).collect();
        let mut packet = vec![b'R', u8::from(root.is_some())];
        let text = serde_json::to_vec(warnings).unwrap_or_default();
        if !warnings.is_empty() && text.len() < PACKET / 2 {
            packet.extend(text);
        }
        fdpass::send(self.0, &packet, &fds)?;
        self.wait(b'g')
    }

    /// A caller that went away wants no container: the child ends without a word.
    fn wait(&self, word: u8) -> Result<i32> {
        let mut buffer = [0; 16];
        let got = fdpass::recv(self.0, &mut buffer)?;
        match buffer[..got.len].split_first() {
            Some((w, rest)) if *w == word => {
                let pid = std::str::from_utf8(rest).ok().and_then(|t| t.parse().ok());
                Ok(pid.unwrap_or(0))
            }
            Some(_) => Err(LaunchError::new(
                FailureKind::System,
                "caller sent an unknown word",
            )),
            None => process::exit_now(125),
        }
    }

    /// Tells the caller why and ends.
    pub(crate) fn fail(&self, error: &LaunchError) -> ! {
        let mut error = error.clone();
        if error.message.len() > PACKET / 8 {
            let cut = (0..=PACKET / 8)
                .rev()
                .find(|i| error.message.is_char_boundary(*i))
                .unwrap_or(0);
            error.message.truncate(cut);
        }
        let mut packet = vec![b'E'];
        packet.extend(serde_json::to_vec(&error).unwrap_or_default());
        let _ = fdpass::send(self.0, &packet, &[]);
        process::exit_now(error.kind.docker_exit_code())
    }
}
