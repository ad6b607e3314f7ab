//! One connection of gantryd: frames in, frames with descriptors out, a bounded queue.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use gantry_supervisor_proto::Reply;
use gantry_supervisor_proto::frame::{Decoder, FrameError, encode};
use gantry_supervisor_proto::message::RequestFrame;
use gantry_sys::{Errno, fdpass};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::say;

/// Bytes queued for a gantryd that does not read; then it is hung up on, and told all when it comes again.
const MAX_QUEUE: usize = 1 << 20;

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: UnixStream,
    decoder: Decoder,
    queue: VecDeque<Outgoing>,
    /// It has said hello: events go to it.
    pub(crate) greeted: bool,
}

/// What accepting came to.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// Somebody who may speak to us.
    One(Connection),
    /// Somebody who may not, or has gone already.
    Refused,
    /// Nobody waits.
    None,
    /// No descriptor or memory for whoever waits.
    Failed,
}

/// Takes one waiting connection; only root, or whoever we run as, may speak to us.
pub(crate) fn accept(listener: &UnixListener) -> Accepted {
    let socket = match listener.accept() {
        Ok((socket, _)) => socket,
        Err(e) => {
            return match e.kind() {
                io::ErrorKind::WouldBlock => Accepted::None,
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => Accepted::Refused,
                _ => Accepted::Failed,
            };
        }
    };
    let Ok(peer) = getsockopt(&socket, PeerCredentials) else {
        return Accepted::Refused;
    };
    if peer.uid() != 0 && peer.uid() != nix::unistd::geteuid().as_raw() {
        say(format!("refused a connection of user {}", peer.uid()));
        return Accepted::Refused;
    }
    if socket.set_nonblocking(true).is_err() {
        return Accepted::Refused;
    }
    Accepted::One(Connection {
        socket,
        decoder: Decoder::default(),
        queue: VecDeque::new(),
        greeted: false,
    })
}

impl Connection {
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes what has come: whole requests, and whether the peer is still there.
    pub(crate) fn read(&mut self) -> (Vec<RequestFrame>, bool) {
        let mut requests = Vec::new();
        let mut open = true;
        loop {
            match self.decoder.read_from(&self.socket) {
                Ok(true) => {}
                Ok(false) => open = false,
                Err(FrameError::Socket(e)) if e.errno() == Errno::EAGAIN => {
                    return (requests, open);
                }
                Err(_) => open = false,
            }
            loop {
                let frame = match self.decoder.next_frame() {
                    Ok(Some(frame)) => serde_json::from_slice(&frame).map_err(FrameError::from),
                    Ok(None) => break,
                    Err(e) => Err(e),
                };
                match frame {
                    Ok(frame) => requests.push(frame),
                    Err(e) => {
                        say(format!("hang up on a connection: {e}"));
                        return (requests, false);
                    }
                }
            }
            if !open {
                return (requests, false);
            }
        }
    }

    /// Queues a reply. `false` when the peer is to be forgotten.
    pub(crate) fn send(&mut self, reply: &Reply, fds: Vec<OwnedFd>) -> bool {
        self.queue.push_back(Outgoing {
            bytes: encode(reply),
            sent: 0,
            fds,
        });
        self.flush() && self.queue.iter().map(|o| o.bytes.len()).sum::<usize>() <= MAX_QUEUE
    }

    /// Writes what the socket takes. `false` when the peer has gone.
    pub(crate) fn flush(&mut self) -> bool {
        while let Some(first) = self.queue.front_mut() {
            let fds: Vec<_> = first.fds.iter().map(AsFd::as_fd).collect();
            match fdpass::send(&self.socket, &first.bytes[first.sent..], &fds) {
                Ok(count) => {
                    // They went with the first byte.
                    first.fds.clear();
                    first.sent += count;
                    if first.sent == first.bytes.len() {
                        self.queue.pop_front();
                    }
                }
                Err(e) if e.errno() == Errno::EAGAIN => return true,
                Err(_) => return false,
            }
        }
        true
    }
}
