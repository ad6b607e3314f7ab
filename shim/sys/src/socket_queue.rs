//! How much of what was sent over a unix socket its other end has not read yet.

use std::os::fd::{AsFd, AsRawFd};

use crate::error::Result;
use crate::raw::check;

/// Memory that sent and unread data of this unix stream socket takes, in bytes: zero when the other end has read all.
/// (SIOCOUTQ of unix(7) counts the buffers, not the bytes in them, so only zero says something exact.)
///
/// # Errors
/// ENOTTY for what is no socket.
pub fn unread_by_peer(socket: impl AsFd) -> Result<usize> {
    let mut size: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int.
    let ret = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut size) };
    check(ret.into(), || "ask for a socket's unread data".into())?;
    Ok(usize::try_from(size).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::unread_by_peer;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn is_zero_when_all_was_read() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(unread_by_peer(&ours).unwrap(), 0);
        ours.write_all(b"head").unwrap();
        assert!(unread_by_peer(&ours).unwrap() > 0);
        let mut buffer = [0; 16];
        assert_eq!(theirs.read(&mut buffer).unwrap(), 4);
        assert_eq!(unread_by_peer(&ours).unwrap(), 0);
    }
}
