//! A netlink socket: send a batch, read its acks; ask for a dump, read it to the end.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::batch::Batch;
use super::message::{Message, attributes, messages};
use super::{Error, Result};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The kernel sends at most this much in one datagram when the reader's buffer allows it
/// (`netlink_dump` in net/netlink/af_netlink.c).
const DATAGRAM: usize = 32 * 1024;

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes: rtnetlink(7).
    Route,
    /// nf_tables and connection tracking.
    Netfilter,
}

impl Protocol {
    /// The number for `socket(2)`, for whoever opens it in another namespace.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Route => nix::libc::NETLINK_ROUTE,
            Self::Netfilter => nix::libc::NETLINK_NETFILTER,
        }
    }
}

/// An open netlink socket. One exchange at a time (`&mut`), no state left between exchanges.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// The code of `socket(2)`; `EPROTONOSUPPORT` when the kernel lacks that part.
    pub fn open(protocol: Protocol) -> Result<Self> {
        let number = match protocol {
            Protocol::Route => SockProtocol::NetlinkRoute,
            Protocol::Netfilter => SockProtocol::NetlinkNetFilter,
        };
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            number,
        )
        .map_err(|errno| Error::Socket {
            what: "socket",
            errno,
        })?;
        Ok(Self::from_fd(fd))
    }

    /// Takes over a socket that somebody else opened, for example inside another namespace.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        // All three only better the answers; an old kernel without one of them still works.
        let _ = setsockopt(&fd, ReceiveTimeout, &TimeVal::seconds(10));
        enable(&fd, nix::libc::NETLINK_EXT_ACK);
        enable(&fd, nix::libc::NETLINK_CAP_ACK);
        Self {
            fd,
            sequence: 0,
            buffer: vec![0; DATAGRAM],
        }
    }

    fn take_sequences(&mut self, count: usize) -> u32 {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self
            .sequence
            .wrapping_add(u32::try_from(count).unwrap_or(u32::MAX));
        first
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        send(self.fd.as_raw_fd(), bytes, MsgFlags::empty())
            .map(drop)
            .map_err(|errno| Error::Socket {
                what: "send",
                errno,
            })
    }

    fn receive(&mut self, flags: MsgFlags) -> std::result::Result<usize, Errno> {
        loop {
            let buffer = &mut self.buffer;
            match recv(self.fd.as_raw_fd(), buffer, flags | MsgFlags::MSG_TRUNC) {
                Err(Errno::EINTR) => {}
                Ok(length) if length > buffer.len() => return Err(Errno::EMSGSIZE),
                other => return other,
            }
        }
    }

    /// Sends all requests in one system call and waits for the answer to the last.
    ///
    /// # Errors
    /// The first refusal, with the words of its request.
    pub fn execute(&mut self, mut batch: Batch) -> Result<()> {
        let Some(last) = batch.requests.len().checked_sub(1) else {
            return Ok(());
        };
        self.exchange(&mut batch, last)
    }

    /// As [`Socket::execute`], asking for the ack of request `acked` (nf_tables: the last one
    /// before the end mark).
    pub(crate) fn exchange(&mut self, batch: &mut Batch, acked: usize) -> Result<()> {
        let first = self.take_sequences(batch.requests.len());
        for (index, request) in batch.requests.iter().enumerate() {
            let ack = if index == acked { NLM_F_ACK } else { 0 };
            let sequence = first.wrapping_add(u32::try_from(index).unwrap_or(u32::MAX));
            batch.buffer.patch(request.offset, ack, sequence);
        }
        self.send(batch.buffer.bytes())?;
        let mut failure = None;
        loop {
            // The kernel worked inside send(2): once one answer said "refused" nothing is awaited.
            let flags = if failure.is_some() {
                MsgFlags::MSG_DONTWAIT
            } else {
                MsgFlags::empty()
            };
            let length = match self.receive(flags) {
                Ok(length) => length,
                Err(Errno::EAGAIN) if failure.is_some() => break,
                Err(errno) => {
                    return Err(failure.unwrap_or(Error::Socket {
                        what: "receive",
                        errno,
                    }));
                }
            };
            let mut done = false;
            for message in messages(&self.buffer[..length]) {
                let index = message.sequence.wrapping_sub(first) as usize;
                if message.kind != NLMSG_ERROR || index >= batch.requests.len() {
                    continue;
                }
                match error_of(&message) {
                    Some((errno, detail)) => {
                        failure.get_or_insert(Error::Refused {
                            what: batch.requests[index].what.clone(),
                            errno,
                            detail,
                        });
                    }
                    None => done |= index == acked,
                }
            }
            if done && failure.is_none() {
                return Ok(());
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Asks for a dump (the only request of `batch`) and gives each message to `each`.
    ///
    /// # Errors
    /// A refusal; `EINTR` when the kernel's list changed under the dump three times in a row.
    pub fn dump(&mut self, batch: &Batch, mut each: impl FnMut(Message<'_>)) -> Result<()> {
        for _ in 0..3 {
            let mut found = Vec::new();
            if self.dump_once(batch, NLM_F_DUMP, &mut found)? {
                for bytes in &found {
                    messages(bytes).for_each(&mut each);
                }
                return Ok(());
            }
        }
        Err(Error::Refused {
            what: batch.requests[0].what.clone(),
            errno: Errno::EINTR,
            detail: String::new(),
        })
    }

    /// Asks for one object (the only request of `batch`).
    ///
    /// # Errors
    /// A refusal; a missing object is one, see [`Error::is_missing`].
    pub fn get(&mut self, batch: &Batch, mut each: impl FnMut(Message<'_>)) -> Result<()> {
        let mut found = Vec::new();
        self.dump_once(batch, NLM_F_ACK, &mut found)?;
        for bytes in &found {
            messages(bytes).for_each(&mut each);
        }
        Ok(())
    }

    /// One question; true when the answer is consistent. Ends at DONE or at the ack.
    fn dump_once(&mut self, batch: &Batch, flags: u16, found: &mut Vec<Vec<u8>>) -> Result<bool> {
        let request = &batch.requests[0];
        let sequence = self.take_sequences(1);
        let mut buffer = batch.buffer.clone();
        buffer.patch(request.offset, flags, sequence);
        self.send(buffer.bytes())?;
        let mut consistent = true;
        loop {
            let length = self
                .receive(MsgFlags::empty())
                .map_err(|errno| Error::Socket {
                    what: "receive",
                    errno,
                })?;
            let mut kept = false;
            for message in messages(&self.buffer[..length]) {
                if message.sequence != sequence {
                    continue;
                }
                consistent &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE => return Ok(consistent),
                    NLMSG_ERROR => match error_of(&message) {
                        None => return Ok(consistent),
                        Some((errno, detail)) => {
                            return Err(Error::Refused {
                                what: request.what.clone(),
                                errno,
                                detail,
                            });
                        }
                    },
                    _ if kept => {}
                    _ => {
                        kept = true;
                        found.push(self.buffer[..length].to_vec());
                    }
                }
            }
        }
    }
}

/// The code and words in an NLMSG_ERROR; `None` for an ack.
fn error_of(message: &Message<'_>) -> Option<(Errno, String)> {
    let code = i32::from_ne_bytes(message.payload.get(..4)?.try_into().ok()?);
    if code == 0 {
        return None;
    }
    // With CAP_ACK the offending request is cut to its header: words follow after 4 + 16 bytes.
    let words = (message.flags & NLM_F_ACK_TLVS != 0)
        .then(|| message.payload.get(20..))
        .flatten()
        .and_then(|rest| attributes(rest).get(NLMSGERR_ATTR_MSG))
        .and_then(|a| a.text().map(|text| format!(" ({text})")));
    Some((Errno::from_raw(-code), words.unwrap_or_default()))
}

fn enable(fd: &OwnedFd, option: i32) {
    let on: i32 = 1;
    // SAFETY: the pointer and length describe a live i32; the descriptor is open for the call.
    unsafe {
        nix::libc::setsockopt(
            fd.as_raw_fd(),
            nix::libc::SOL_NETLINK,
            option,
            std::ptr::from_ref(&on).cast(),
            4,
        );
    }
}
