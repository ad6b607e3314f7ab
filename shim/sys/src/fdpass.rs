//! Descriptors over unix sockets (SCM_RIGHTS), for stream and seqpacket alike. Received descriptors are
//! close-on-exec; a truncated control message is an error, and what came with it is closed.

use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Most descriptors one message may carry here (the kernel's own limit is 253).
pub const MAX_FDS: usize = 64;

/// Sends bytes with descriptors; never raises SIGPIPE. Returns how many bytes went (a stream may take fewer; the
/// descriptors go with the first byte).
///
/// # Errors
/// EINVAL for more than [`MAX_FDS`] descriptors or for descriptors without a byte; EAGAIN on a full non-blocking socket.
pub fn send(socket: impl AsFd, data: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize> {
    if fds.len() > MAX_FDS || (data.is_empty() && !fds.is_empty()) {
        return Err(Error::new(
            "send descriptors: too many, or none of the data they go with",
            Errno::EINVAL,
        ));
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    loop {
        match sendmsg::<()>(
            socket.as_fd().as_raw_fd(),
            &[IoSlice::new(data)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Err(Errno::EINTR) => {}
            other => return other.map_err(|e| Error::new("send message on unix socket", e)),
        }
    }
}

/// One received message: `len` bytes are in the caller's buffer; 0 with no descriptors is the end of the stream.
#[derive(Debug)]
pub struct Received {
    /// Bytes written into the buffer.
    pub len: usize,
    /// Descriptors that came along, in the sender's order, now owned.
    pub fds: Vec<OwnedFd>,
}

/// Receives one message (seqpacket) or what is there (stream).
///
/// # Errors
/// EMSGSIZE when a packet or its descriptors did not fit; EAGAIN on an empty non-blocking socket.
pub fn recv(socket: impl AsFd, buffer: &mut [u8]) -> Result<Received> {
    let mut control = nix::cmsg_space!([RawFd; MAX_FDS]);
    let mut slices = [IoSliceMut::new(buffer)];
    let raw = socket.as_fd().as_raw_fd();
    let message = loop {
        match recvmsg::<()>(
            raw,
            &mut slices,
            Some(&mut control),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            Err(Errno::EINTR) => {}
            other => break other.map_err(|e| Error::new("receive message on unix socket", e))?,
        }
    };
    let mut fds = Vec::new();
    let items = message
        .cmsgs()
        .map_err(|e| Error::new("receive descriptors: control data cut", e));
    for item in items.into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(list) = item {
            // SAFETY: the kernel has just installed these descriptors for us; nothing else owns them.
            fds.extend(
                list.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    if message
        .flags
        .intersects(MsgFlags::MSG_CTRUNC | MsgFlags::MSG_TRUNC)
    {
        return Err(Error::new(
            "receive message on unix socket: longer than expected",
            Errno::EMSGSIZE,
        ));
    }
    Ok(Received {
        len: message.bytes,
        fds,
    })
}

/// Accepts one connection of a listening unix socket, close-on-exec.
///
/// # Errors
/// EAGAIN on a non-blocking listener without one.
pub fn accept(listener: impl AsFd) -> Result<OwnedFd> {
    let flags = nix::sys::socket::SockFlag::SOCK_CLOEXEC;
    loop {
        match nix::sys::socket::accept4(listener.as_fd().as_raw_fd(), flags) {
            // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::new("accept connection", e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_pipe_travels_and_is_closed_on_exec() {
        let (a, b) = UnixStream::pair().unwrap();
        let (r, w) = nix::unistd::pipe().unwrap();
        assert_eq!(send(&a, b"hello", &[w.as_fd()]).unwrap(), 5);
        drop(w);
        let mut buffer = [0; 16];
        let mut got = recv(&b, &mut buffer).unwrap();
        assert_eq!((got.len, got.fds.len()), (5, 1));
        let w = got.fds.remove(0);
        let flags = nix::fcntl::fcntl(&w, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        std::fs::File::from(w).write_all(b"x").unwrap();
        let mut text = String::new();
        std::fs::File::from(r).read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        drop(a);
        assert_eq!(recv(&b, &mut buffer).unwrap().len, 0);
    }
}
