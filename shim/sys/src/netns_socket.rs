//! Sockets inside a network namespace that the caller does not enter: a short-lived thread goes in, opens one and ends
//! there. The calling thread, and with it any thread pool or runtime, stays where it is.

use crate::error::{Error, Result};
use crate::namespace;
use crate::raw::check_fd;
use nix::errno::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};

/// `socket(domain, kind, protocol)` in the namespace behind `netns`, close-on-exec. Blocks for the life of one thread,
/// some 50 µs.
///
/// # Errors
/// EINVAL when the descriptor is no network namespace or the domain is not netlink, IPv4 or IPv6; EPERM without
/// CAP_SYS_ADMIN over the namespace; EAGAIN without room for a thread; those of socket(2).
pub fn open(netns: BorrowedFd<'_>, domain: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    let what = || format!("open socket of domain {domain} in a network namespace");
    if ![libc::AF_NETLINK, libc::AF_INET, libc::AF_INET6].contains(&domain) {
        return Err(Error::new(what(), Errno::EINVAL));
    }
    std::thread::scope(|scope| {
        let inside = || {
            namespace::enter(netns, namespace::NET)?;
            // SAFETY: plain integers; the result is a fresh descriptor.
            let ret = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
            check_fd(ret.into(), what)
        };
        let thread = std::thread::Builder::new()
            .name("netns-socket".into())
            .stack_size(64 * 1024)
            .spawn_scoped(scope, inside)
            .map_err(|e| Error::from_io("start a thread for a network namespace", &e))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Error::new(what(), Errno::EIO)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn other_domains_and_other_descriptors_are_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let refused = open(file.as_fd(), libc::AF_UNIX, libc::SOCK_STREAM, 0).unwrap_err();
        assert_eq!(refused.errno(), Errno::EINVAL);
        let refused = open(file.as_fd(), libc::AF_INET, libc::SOCK_DGRAM, 0).unwrap_err();
        assert_eq!(refused.errno(), Errno::EINVAL);
    }
}
