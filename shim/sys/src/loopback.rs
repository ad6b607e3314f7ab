//! Bringing up `lo` in the network namespace of the calling thread: two ioctls (netdevice(7)), no netlink needed.

use crate::error::{Error, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsRawFd;

/// Sets `lo` up; the kernel gives it its addresses then.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over the namespace.
pub fn up() -> Result<()> {
    let what = || "bring up loopback interface".to_owned();
    let fd = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(|e| Error::new(what(), e))?;
    // SAFETY: ifreq is plain data for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    // SAFETY: the request has a name and lives through the call; the kernel fills in the flags.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) } < 0 {
        return Err(Error::last(what()));
    }
    // SAFETY: SIOCGIFFLAGS has just stored this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags =
        flags | libc::c_short::try_from(libc::IFF_UP).expect("IFF_UP is 1");
    // SAFETY: as above; the kernel only reads.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } < 0 {
        return Err(Error::last(what()));
    }
    Ok(())
}
