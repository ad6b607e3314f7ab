//! Turning raw return values into results. Nothing here is public.

use crate::error::{Error, Result};
use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};

/// Checks a raw return value; `what` is only built on failure.
pub(crate) fn check(ret: libc::c_long, what: impl FnOnce() -> String) -> Result<libc::c_long> {
    if ret < 0 {
        Err(Error::last(what()))
    } else {
        Ok(ret)
    }
}

/// Checks a return value that is a fresh descriptor and takes ownership of it.
pub(crate) fn check_fd(ret: libc::c_long, what: impl FnOnce() -> String) -> Result<OwnedFd> {
    let fd = check(ret, what)?;
    let fd = i32::try_from(fd).expect("the kernel returns descriptors below 2^31");
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A C string, or EINVAL when the text holds a NUL.
pub(crate) fn cstr(text: &[u8], what: &str) -> Result<CString> {
    CString::new(text).map_err(|_| {
        Error::new(
            format!("{what}: text holds a NUL byte"),
            nix::errno::Errno::EINVAL,
        )
    })
}
