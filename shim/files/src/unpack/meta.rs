//! Owner, mode, attributes and times of what was placed, in the order the kernel needs.
//!
//! chown(2) clears setuid bits and file capabilities, so it comes first; writing attributes moves no mtime, so times
//! come last.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

use gantry_sys::xattr;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};

use crate::archive::{Entry, Time};
use crate::error::{Error, Result, show};

/// Whether the archive's owners are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As the archive says.
    Apply,
    /// Everything belongs to the caller. For tests without root.
    Keep,
}

/// Sets everything but times on an open file or directory. Answers how many attributes were left out.
pub(super) fn set<F: AsFd>(fd: F, entry: &Entry, owners: Owners) -> Result<u64> {
    let fail = |what: &str, e: Errno| Error::io(format!("{what} {}", show(&entry.path)), e);
    if owners == Owners::Apply {
        fchown(
            &fd,
            Some(Uid::from_raw(entry.uid)),
            Some(Gid::from_raw(entry.gid)),
        )
        .map_err(|e| fail("chown", e))?;
    }
    fchmod(&fd, Mode::from_bits_truncate(entry.mode)).map_err(|e| fail("chmod", e))?;
    xattrs(entry, |name, value| xattr::set(&fd, name, value))
}

/// Sets owner and attributes of a symlink or node; their mode came with their making, or they have none.
pub(super) fn set_at<F: AsFd>(dir: F, name: &CStr, entry: &Entry, owners: Owners) -> Result<u64> {
    let fail = |what: &str, e: Errno| Error::io(format!("{what} {}", show(&entry.path)), e);
    if owners == Owners::Apply {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        fchownat(
            &dir,
            name,
            Some(uid),
            Some(gid),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .map_err(|e| fail("chown", e))?;
    }
    let ignored = xattrs(entry, |attr, value| xattr::set_at(&dir, name, attr, value))?;
    let (atime, mtime) = times(entry);
    utimensat(&dir, name, &atime, &mtime, UtimensatFlags::NoFollowSymlink)
        .map_err(|e| fail("set times of", e))?;
    Ok(ignored)
}

/// Sets the times of an open file or directory.
pub(super) fn set_times<F: AsFd>(
    fd: F,
    (atime, mtime): (TimeSpec, TimeSpec),
    path: &[u8],
) -> Result<()> {
    futimens(fd, &atime, &mtime).map_err(|e| Error::io(format!("set times of {}", show(path)), e))
}

/// Access and modification time as the kernel takes them; without an access time the modification's serves.
pub(super) fn times(entry: &Entry) -> (TimeSpec, TimeSpec) {
    let spec = |t: Time| TimeSpec::new(t.seconds, i64::from(t.nanos));
    (spec(entry.atime.unwrap_or(entry.mtime)), spec(entry.mtime))
}

fn xattrs(entry: &Entry, set: impl Fn(&CStr, &[u8]) -> nix::Result<()>) -> Result<u64> {
    let mut ignored = 0;
    for (name, value) in &entry.xattrs {
        if !is_layers_business(name) {
            ignored += 1;
            continue;
        }
        let name = CString::new(name.as_slice()).map_err(|_| {
            Error::Archive(format!(
                "entry {}: attribute with a zero byte",
                show(&entry.path)
            ))
        })?;
        match set(&name, value) {
            Ok(()) => {}
            // The file system has none of this kind (EPERM: user attributes on links and devices).
            Err(Errno::EOPNOTSUPP) => ignored += 1,
            Err(Errno::EPERM) if name.to_bytes().starts_with(b"user.") => ignored += 1,
            Err(e) => {
                let name = String::from_utf8_lossy(name.to_bytes()).into_owned();
                return Err(Error::io(
                    format!("set attribute {name:?} of {}", show(&entry.path)),
                    e,
                ));
            }
        }
    }
    Ok(ignored)
}

/// Labels of the host's security modules and overlay's own marks are not for an image to decide.
fn is_layers_business(name: &[u8]) -> bool {
    let overlay = name.starts_with(b"user.overlay.");
    (name.starts_with(b"user.") && !overlay)
        || name == b"security.capability"
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
}
