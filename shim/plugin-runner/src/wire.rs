//! Frames of the runner's sockets: a fixed header that carries the descriptors, a head in JSON, the payload as it is.

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use gantry_sys::fdpass;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 4] = *b"GPR1";
const HEADER: usize = 16;
const MAX_HEAD: u32 = 1024 * 1024;
const MAX_PAYLOAD: u32 = 64 * 1024 * 1024;

/// What the host says on the control socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Control {
    /// Open this library; the payload is the request that opens the driver.
    Open {
        library: String,
        secrets: String,
        deadline_ms: u64,
    },
    /// Serve the descriptor that comes along.
    Connect,
}

/// The answer to [`Control::Open`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// Empty when it is open.
    pub(crate) error: String,
    pub(crate) version: String,
    pub(crate) capabilities: Vec<String>,
}

/// A call; the payload is its JSON, the descriptors are the call's own and, last, the cancel descriptor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallHead {
    pub(crate) table: String,
    pub(crate) function: String,
    pub(crate) operation: String,
    pub(crate) deadline_ms: u64,
    /// Per descriptor of the call: given, not lent.
    pub(crate) given: Vec<bool>,
    pub(crate) cancel: bool,
}

/// An answer; the payload is its JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReplyHead {
    pub(crate) outcome: u32,
    pub(crate) code: u32,
    pub(crate) message: String,
}

/// One line of the runner's standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LogLine {
    pub(crate) operation: Option<String>,
    pub(crate) level: u8,
    pub(crate) message: String,
}

/// One received frame.
pub(crate) struct Frame<H> {
    pub(crate) head: H,
    pub(crate) payload: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Sends one frame.
pub(crate) fn send(
    mut socket: &UnixStream,
    head: &impl Serialize,
    payload: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&u32::try_from(head.len()).map_err(too_long)?.to_le_bytes());
    header[8..12].copy_from_slice(
        &u32::try_from(payload.len())
            .map_err(too_long)?
            .to_le_bytes(),
    );
    header[12..].copy_from_slice(&u32::try_from(fds.len()).map_err(too_long)?.to_le_bytes());
    // Descriptors travel with the first byte; a stream may take fewer bytes than asked.
    let sent = fdpass::send(socket, &header, fds)?;
    socket.write_all(&header[sent..])?;
    socket.write_all(&head)?;
    socket.write_all(payload)
}

/// Receives one frame; none at the end of the stream.
pub(crate) fn recv<H: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<Option<Frame<H>>> {
    let mut header = [0; HEADER];
    let first = fdpass::recv(socket, &mut header)?;
    if first.len == 0 {
        return Ok(None);
    }
    socket.read_exact(&mut header[first.len..])?;
    let number = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (head_len, payload_len, fds) = (number(4), number(8), number(12));
    let good = header[..4] == MAGIC && head_len <= MAX_HEAD && payload_len <= MAX_PAYLOAD;
    if !good || usize::try_from(fds) != Ok(first.fds.len()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a frame that is none of ours",
        ));
    }
    let mut head = vec![0; head_len as usize];
    socket.read_exact(&mut head)?;
    let mut payload = vec![0; payload_len as usize];
    socket.read_exact(&mut payload)?;
    Ok(Some(Frame {
        head: serde_json::from_slice(&head)?,
        payload,
        fds: first.fds,
    }))
}
