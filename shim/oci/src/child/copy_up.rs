//! `tmpcopyup`: a tmpfs begins with what the image has at its place.

use crate::error::{FailureKind, Kind, LaunchError, Result};
use gantry_sys::tree;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// Copies what is beneath `target` into the detached `mount`; both are named by descriptor only.
pub(super) fn fill(target: &OwnedFd, mount: &OwnedFd, kind: &str) -> Result<()> {
    if kind != "tmpfs" {
        return Err(LaunchError::spec("tmpcopyup is for a tmpfs only"));
    }
    let path = |fd: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    tree::copy(&path(target), &path(mount), || false)
        .map(|_| ())
        .map_err(|e| e.within("tmpcopyup"))
        .kind(FailureKind::Mount)
}
