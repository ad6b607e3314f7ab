//! One attached client: a socket of its own, a bounded queue, and a limit to its patience with it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use gantry_supervisor_proto::stream::{self, Kind, MAX_PAYLOAD, Parser};

/// Bytes queued for a client above which its process is not read from, so that a client that is merely slower than
/// its container misses nothing.
const HIGH: usize = 256 << 10;
/// A queue that long must have halved after this time, or the client is dropped: nobody who does not read holds up a
/// container for longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Streams a client wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// What a client said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Input.
    pub(crate) bytes: Vec<u8>,
    /// It said that no more will come.
    pub(crate) end: bool,
    /// It has gone.
    pub(crate) gone: bool,
}

/// An attached client.
#[derive(Debug)]
pub(crate) struct Client {
    socket: UnixStream,
    wants: Wants,
    parser: Parser,
    queue: Vec<u8>,
    sent: usize,
    full_since: Option<Instant>,
    /// It said that no more input will come.
    pub(crate) said_end: bool,
    /// The process has ended: what is queued goes out, then the socket closes.
    closing: bool,
}

impl Client {
    /// Takes our end of the pair.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub(crate) fn new(socket: UnixStream, wants: Wants) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            wants,
            parser: Parser::default(),
            queue: Vec::new(),
            sent: 0,
            full_since: None,
            said_end: false,
            closing: false,
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Queues output. `false` when the client has gone.
    pub(crate) fn offer(&mut self, stderr: bool, bytes: &[u8]) -> bool {
        let (wanted, kind) = if stderr {
            (self.wants.stderr, Kind::Stderr)
        } else {
            (self.wants.stdout, Kind::Stdout)
        };
        if !wanted {
            return true;
        }
        for piece in bytes.chunks(MAX_PAYLOAD) {
            self.queue
                .extend_from_slice(&stream::header(kind, piece.len()));
            self.queue.extend_from_slice(piece);
        }
        self.flush()
    }

    /// Writes what the socket takes. `false` when the client has gone, or was told all.
    pub(crate) fn flush(&mut self) -> bool {
        while self.sent < self.queue.len() {
            match self.socket.write(&self.queue[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        let left = self.queue.len() - self.sent;
        if left == 0 {
            self.queue = Vec::new();
            self.sent = 0;
        } else if self.sent > HIGH {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
        if left > HIGH {
            self.full_since.get_or_insert_with(Instant::now);
        } else if left <= HIGH / 2 {
            self.full_since = None;
        }
        left > 0 || !self.closing
    }

    /// No more output will come. `false` when it has been told all.
    pub(crate) fn close(&mut self) -> bool {
        self.closing = true;
        // From now on patience runs whatever is queued: the supervisor may be waiting to end.
        let more = self.flush();
        self.full_since.get_or_insert_with(Instant::now);
        more
    }

    pub(crate) fn has_queue(&self) -> bool {
        self.sent < self.queue.len()
    }

    /// Its container is not to be read from now.
    pub(crate) fn is_full(&self) -> bool {
        self.full_since.is_some() && !self.closing
    }

    /// When it will be dropped unless it reads.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.full_since.map(|since| since + PATIENCE)
    }

    /// Reads what it sent; everything when it has hung up, so that input sent before is not lost.
    pub(crate) fn read(&mut self, hung_up: bool) -> Said {
        let mut said = Said::default();
        let mut buffer = [0; 8 << 10];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => said.gone = true,
                Ok(count) => self.parser.push(&buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return said,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => said.gone = true,
            }
            loop {
                match self.parser.next_frame() {
                    Ok(Some((Kind::Stdin, bytes))) if self.wants.stdin => said.bytes.extend(bytes),
                    Ok(Some((Kind::End, _))) if self.wants.stdin => said.end = true,
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => {
                        said.gone = true;
                        break;
                    }
                }
            }
            if said.gone || !hung_up {
                return said;
            }
        }
    }
}

#[cfg(test)]
mod tests;
