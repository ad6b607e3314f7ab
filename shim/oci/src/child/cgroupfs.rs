//! /sys/fs/cgroup of a container: one mount on v2; on v1 a tmpfs with one mount per controller it is under.

use super::rootfs::Root;
use crate::error::{FailureKind, Kind, Result};
use crate::launch::Launch;
use gantry_sys::beneath::{self, Links};
use gantry_sys::cgroup::Version;
use gantry_sys::mount::{self, Attr, FsContext, NODEV, NOEXEC, NOSUID, RDONLY};
use gantry_sys::namespace;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Mounts it at `dest`. With a cgroup namespace of its own (`flags`) the mounts show the container's group as their
/// root; without one its own directory is bound, so that it never sees its neighbours.
pub(super) fn mount(
    launch: &Launch<'_>,
    root: &Root,
    dest: &Path,
    set: Attr,
    flags: i32,
) -> Result<()> {
    let target = beneath::mkdir_all(&root.fd, dest, 0o755, Links::InRoot)?;
    let attr = set | NOSUID | NODEV | NOEXEC;
    let own = flags & namespace::CGROUP != 0;
    let hierarchies = launch.cgroup.hierarchies;
    if hierarchies.version() == Version::V2 {
        let fd = if own {
            plain("cgroup2", &[], attr)?
        } else {
            bound(launch, "", attr)?
        };
        return mount::attach(&fd, &target).kind(FailureKind::Mount);
    }
    let base =
        mount::tmpfs(&[("mode", "755")], NOSUID | NODEV | NOEXEC).kind(FailureKind::Mount)?;
    mount::attach(&base, &target).kind(FailureKind::Mount)?;
    for (name, controllers) in by_mount(launch) {
        let fd = if own {
            plain("cgroup", &controllers, attr)?
        } else {
            bound(launch, controllers[0], attr)?
        };
        let dir = beneath::mkdir_all(&base, Path::new(name), 0o755, Links::Refuse)?;
        mount::attach(&fd, &dir).kind(FailureKind::Mount)?;
        for alias in controllers
            .iter()
            .filter(|c| controllers.len() > 1 && OsStr::new(c) != name)
        {
            let done = nix::unistd::symlinkat(name, &base, Path::new(alias));
            done.map_err(|e| gantry_sys::Error::new("link cgroup controller", e))?;
        }
    }
    if set & RDONLY != 0 {
        mount::set_attr(&base, RDONLY, 0, false).kind(FailureKind::Mount)?;
    }
    Ok(())
}

/// Controllers the container is under, by the name of the directory they are mounted on.
fn by_mount<'a>(launch: &Launch<'a>) -> BTreeMap<&'a OsStr, Vec<&'a str>> {
    let mut map: BTreeMap<&OsStr, Vec<&str>> = BTreeMap::new();
    let placed = |name: &str| {
        launch
            .cgroup
            .group
            .is_none_or(|g| g.controllers().any(|c| c == name))
    };
    for (name, path) in launch
        .cgroup
        .hierarchies
        .mounts()
        .iter()
        .filter(|(n, _)| placed(n))
    {
        map.entry(path.file_name().unwrap_or_default())
            .or_default()
            .push(name);
    }
    map
}

fn plain(kind: &str, controllers: &[&str], attr: Attr) -> Result<OwnedFd> {
    let context = FsContext::open(kind).kind(FailureKind::Mount)?;
    context.set("source", "cgroup").kind(FailureKind::Mount)?;
    for controller in controllers {
        context.set_flag(controller).kind(FailureKind::Mount)?;
    }
    context.mount(attr).kind(FailureKind::Mount)
}

fn bound(launch: &Launch<'_>, controller: &str, attr: Attr) -> Result<OwnedFd> {
    let mounts = launch.cgroup.hierarchies.mounts();
    let whole = mounts
        .iter()
        .find(|(n, _)| n == controller)
        .map_or(Path::new("/sys/fs/cgroup"), |(_, p)| p);
    let dir = launch
        .cgroup
        .group
        .and_then(|g| g.dir(controller))
        .unwrap_or(whole);
    let fd = mount::open_tree_host(dir, false).kind(FailureKind::Mount)?;
    mount::set_attr(&fd, attr, 0, false).kind(FailureKind::Mount)?;
    debug_assert!(fd.as_raw_fd() > 2);
    Ok(fd)
}
