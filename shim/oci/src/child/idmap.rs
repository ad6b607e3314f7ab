//! Mounts whose owners are mapped: by the mount's own mappings, or by those of the container's user namespace.

use super::options::Options;
use super::rootfs::Shift;
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::users::Maps;
use gantry_sys::{mount, users};
use oci_spec::runtime::{Mount, Spec};
use std::os::fd::OwnedFd;

/// User namespaces for the mounts that have mappings of their own, by place in the list. Made before the root covers
/// `/`: the kernel makes none for a process whose root is not its mount namespace's.
pub(super) fn prepare(spec: &Spec) -> Result<Vec<Option<OwnedFd>>> {
    let one = |m: &Mount| -> Result<Option<OwnedFd>> {
        let (uids, gids) = (m.uid_mappings().as_ref(), m.gid_mappings().as_ref());
        if ![uids, gids]
            .iter()
            .any(|l| l.is_some_and(|l| !l.is_empty()))
        {
            return Ok(None);
        }
        let maps = Maps::new(uids, gids)?;
        users::make(&maps.users, &maps.groups)
            .map(Some)
            .kind(FailureKind::Mount)
    };
    spec.mounts().iter().flatten().map(one).collect()
}

/// Maps a detached mount, when the configuration wishes so: as `own` says, or as the container.
pub(super) fn apply(
    fd: &OwnedFd,
    own: Option<OwnedFd>,
    o: &Options,
    shift: Option<&Shift>,
) -> Result<()> {
    // Mappings without the word mean it all the same.
    let recursive = match (o.idmap, &own) {
        (Some(recursive), _) => recursive,
        (None, Some(_)) => false,
        (None, None) => return Ok(()),
    };
    let container = || {
        shift.map(|s| &s.users).ok_or_else(|| {
            LaunchError::spec("idmap without mappings, in a container without a user namespace")
        })
    };
    let users = match &own {
        Some(own) => own,
        None => container()?,
    };
    mount::set_idmap(fd, users, recursive).kind(FailureKind::Mount)
}
