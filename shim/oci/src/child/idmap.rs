//! Mounts whose owners are mapped: by the mount's own mappings, or by those of the container's user namespace.

use super::options::Options;
use super::rootfs::Shift;
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::users::Maps;
use gantry_sys::{mount, users};
use oci_spec::runtime::Mount;
use std::os::fd::OwnedFd;

/// Maps a detached mount, when the configuration wishes so.
pub(super) fn apply(fd: &OwnedFd, m: &Mount, o: &Options, shift: Option<&Shift>) -> Result<()> {
    let (uids, gids) = (m.uid_mappings().as_ref(), m.gid_mappings().as_ref());
    let own = [uids, gids]
        .iter()
        .any(|l| l.is_some_and(|l| !l.is_empty()));
    let recursive = match o.idmap {
        Some(recursive) => recursive,
        // Mappings without the word mean it all the same.
        None if own => false,
        None => return Ok(()),
    };
    if own {
        let maps = Maps::new(uids, gids)?;
        let made = users::make(&maps.users, &maps.groups).kind(FailureKind::Mount)?;
        return mount::set_idmap(fd, made, recursive).kind(FailureKind::Mount);
    }
    let shift = shift.ok_or_else(|| {
        LaunchError::spec("idmap without mappings, in a container without a user namespace")
    })?;
    mount::set_idmap(fd, &shift.users, recursive).kind(FailureKind::Mount)
}
