//! Dropping the last reference of a root mount, in a short-lived child: unmounting an overlay syncs its upper file
//! system, which on a busy disk takes longer than this loop may stand still.

use std::os::fd::{AsRawFd, OwnedFd};

use gantry_sys::namespace::{self, Forked};
use gantry_sys::process::{close_all_but, exit_now};
use nix::unistd::pipe2;

/// A child at it.
#[derive(Debug)]
pub(crate) struct Unmount {
    pub(crate) pidfd: OwnedFd,
    /// The task whose root it is.
    pub(crate) task: u32,
}

/// Hands the mount over to a child and returns at once. When the child cannot be made it is dropped here.
///
/// # Errors
/// EAGAIN, EMFILE: the mount is gone all the same.
pub(crate) fn in_child(task: u32, rootfs: OwnedFd) -> gantry_sys::Result<Unmount> {
    let (wait, go) =
        pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|e| gantry_sys::Error::new("make pipe", e))?;
    match namespace::fork(0, None)? {
        Forked::Child => child(&rootfs, &wait),
        Forked::Parent(_, pidfd) => {
            // Ours is closed before the child is told to go, so that the child's is the last.
            drop(rootfs);
            drop(go);
            Ok(Unmount { pidfd, task })
        }
    }
}

/// Keeps these two descriptors only (above all not the supervisor's lock), waits for the parent, ends; the kernel does
/// the rest on the way out.
fn child(rootfs: &OwnedFd, wait: &OwnedFd) -> ! {
    if close_all_but(&[rootfs.as_raw_fd(), wait.as_raw_fd()]).is_ok() {
        // Ends when the parent closes its side; what it answers does not matter.
        let _ = nix::unistd::read(wait, &mut [0]);
    }
    exit_now(0)
}
