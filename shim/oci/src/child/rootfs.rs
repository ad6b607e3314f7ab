//! The root: made detached, put over `/` of the child's own mount namespace, filled, and pivoted into.

use super::options::Options;
use super::{idmap, masks, mounts, sysctl};
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::launch::{Launch, MountDesc, Rootfs};
use crate::users::Maps;
use gantry_sys::mount::{self, Overlay, Propagation};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// A root under construction.
pub(super) struct Root {
    /// The mount itself.
    pub(super) fd: OwnedFd,
    /// Our own procfs mount, when the configuration has one: the only one ever written through.
    pub(super) proc: Option<OwnedFd>,
}

/// Owners shifted into a user namespace: its maps, and itself.
pub(super) struct Shift {
    pub(super) maps: Maps,
    pub(super) users: OwnedFd,
    /// File systems made while this process still saw the host's mounts, by place in the list.
    pub(super) made: Vec<Option<OwnedFd>>,
}

/// Makes the root and everything mounted in it, for a container whose namespaces this process is in. With `shift` it is
/// a helper with the host's rights that is in all of them but the user namespace.
pub(super) fn build(
    launch: &Launch<'_>,
    flags: i32,
    mut shift: Option<&mut Shift>,
) -> Result<Root> {
    let early = mounts::Early {
        mounts: match &mut shift {
            Some(shift) => std::mem::take(&mut shift.made),
            None => mounts::clone_shared(launch.spec)?,
        },
        users: idmap::prepare(launch.spec)?,
    };
    let shift = shift.as_deref();
    // Only the mount the root is put upon, and it still hears of the host's: the others stay as connected as they are
    // until the pivot, so that shared and slave binds can be made of them in their turn.
    let top = if has_own(launch.spec) {
        let top = File::open("/").map_err(|e| gantry_sys::Error::from_io("open /", &e))?;
        mount::set_propagation(&top, Propagation::Slave, false).kind(FailureKind::Mount)?;
        Some(top)
    } else {
        None
    };
    let fd = match &shift {
        Some(shift) => make_shifted(launch.rootfs, shift, top.as_ref())?,
        None => make(launch.rootfs)?,
    };
    mount::set_propagation(&fd, Propagation::Private, true).kind(FailureKind::Mount)?;
    if let Some(top) = &top {
        mount::attach(&fd, top)
            .map_err(|e| e.within("attach root"))
            .kind(FailureKind::Mount)?;
    }
    let mut root = Root { fd, proc: None };
    mounts::apply(launch, &mut root, flags, early, shift)?;
    // Before /proc/sys is made read-only.
    sysctl::apply(launch, &root, flags)?;
    masks::apply(launch.spec, &root.fd)?;
    if launch
        .spec
        .root()
        .as_ref()
        .is_some_and(|r| r.readonly() == Some(true))
    {
        mount::set_attr(&root.fd, mount::RDONLY, 0, false).kind(FailureKind::Mount)?;
    }
    Ok(root)
}

/// Whether the container has a mount namespace that is not the caller's. Without one its mounts hang on its root alone
/// (which Linux allows since 6.15) and none of them is ever in the caller's table.
fn has_own(spec: &Spec) -> bool {
    super::lists(spec, LinuxNamespaceType::Mount)
}

/// Makes it the process's root.
pub(super) fn enter(root: &OwnedFd, spec: &Spec) -> Result<()> {
    if !has_own(spec) {
        return chroot(root);
    }
    mount::pivot_root(root).kind(FailureKind::Mount)?;
    let wanted = spec
        .linux()
        .as_ref()
        .and_then(|l| l.rootfs_propagation().as_deref());
    let how = match wanted {
        None | Some("" | "private" | "rprivate") => return Ok(()),
        Some("slave" | "rslave") => Propagation::Slave,
        Some("shared" | "rshared") => Propagation::Shared,
        Some("unbindable" | "runbindable") => Propagation::Unbindable,
        Some(other) => return Err(LaunchError::spec(format!("root propagation {other:?}"))),
    };
    mount::set_propagation(root, how, wanted.is_some_and(|w| w.starts_with('r')))
        .kind(FailureKind::Mount)
}

fn chroot(root: &OwnedFd) -> Result<()> {
    let failed = |e| gantry_sys::Error::new("enter root without a mount namespace", e);
    nix::unistd::fchdir(root).map_err(failed)?;
    nix::unistd::chroot(".").map_err(failed)?;
    Ok(())
}

/// A root whose owners are a user namespace's: lower layers are mapped as they are read, what is written is on disk
/// with the shifted numbers.
fn make_shifted(rootfs: Rootfs<'_>, shift: &Shift, top: Option<&File>) -> Result<OwnedFd> {
    let Rootfs::Mounts([desc]) = rootfs else {
        return make(rootfs);
    };
    if desc.kind != "overlay" || desc.lower.is_empty() {
        return make(rootfs);
    }
    if let ([one], true) = (&desc.lower[..], desc.upper.is_empty()) {
        // A view of one layer is that layer, not yet anywhere.
        let path = Path::new(one);
        let fd = mount::open_tree_host(path, false).map_err(|e| source_error(&e, path))?;
        mount::set_idmap(&fd, &shift.users, false).kind(FailureKind::Mount)?;
        mount::set_attr(&fd, mount::RDONLY, 0, false).kind(FailureKind::Mount)?;
        return Ok(fd);
    }
    let mut mapped = desc.clone();
    let mut held = Vec::new();
    for lower in &mut mapped.lower {
        let path = Path::new(&*lower);
        let fd = mount::open_tree_host(path, false).map_err(|e| source_error(&e, path))?;
        mount::set_idmap(&fd, &shift.users, false).kind(FailureKind::Mount)?;
        // Before 6.15 an overlay takes no layer that is nowhere. It makes copies for itself, so this one goes again
        // when it is made.
        if let Some(top) = top {
            mount::attach(&fd, top).kind(FailureKind::Mount)?;
        }
        *lower = format!("/proc/self/fd/{}", fd.as_raw_fd());
        held.push(fd);
    }
    // The root of the container is the upper directory itself.
    if !desc.upper.is_empty() {
        let (uid, gid) = (shift.maps.user(0)?, shift.maps.group(0)?);
        own_if_hosts(Path::new(&desc.upper), uid, gid)?;
    }
    let made = make(Rootfs::Mounts(std::slice::from_ref(&mapped)))?;
    if top.is_some() {
        // The last is on top of the others; none may be left between the old root and the container's.
        for lower in mapped.lower.iter().rev() {
            mount::unmount(Path::new(lower), libc::MNT_DETACH).kind(FailureKind::Mount)?;
        }
    }
    Ok(made)
}

fn own_if_hosts(path: &Path, uid: u32, gid: u32) -> Result<()> {
    use std::os::unix::fs::{MetadataExt, lchown};
    let failed = |e: std::io::Error| {
        LaunchError::from(gantry_sys::Error::from_io(
            format!("own {}", path.display()),
            &e,
        ))
    };
    let seen = std::fs::symlink_metadata(path).map_err(failed)?;
    if seen.uid() != 0 {
        return Ok(());
    }
    lchown(path, Some(uid), Some(gid)).map_err(failed)
}

pub(crate) fn make(rootfs: Rootfs<'_>) -> Result<OwnedFd> {
    match rootfs {
        Rootfs::Dir(path) => mount::open_tree_host(path, true).map_err(|e| source_error(&e, path)),
        Rootfs::Mounts([one]) => describe(one),
        Rootfs::Mounts([]) => Err(LaunchError::spec("no mount for the root")),
        Rootfs::Mounts(_) => Err(LaunchError::unsupported("a root of several mounts")),
    }
}

/// One described mount, detached.
fn describe(desc: &MountDesc) -> Result<OwnedFd> {
    let options = Options::parse(desc.options.iter().map(String::as_str))?;
    match desc.kind.as_str() {
        "overlay" => overlay(desc, &options),
        "bind" | "rbind" | "none" => {
            let path = Path::new(&desc.source);
            let recursive = options.bind.unwrap_or(desc.kind == "rbind");
            let fd = mount::open_tree_host(path, recursive).map_err(|e| source_error(&e, path))?;
            mounts::change(&fd, &options)?;
            Ok(fd)
        }
        kind => mounts::file_system(kind, &desc.source, &options),
    }
}

fn overlay(desc: &MountDesc, options: &Options) -> Result<OwnedFd> {
    let words = options.data.iter().map(|(k, v)| {
        if v.is_empty() {
            k.clone()
        } else {
            format!("{k}={v}")
        }
    });
    let words: Vec<String> = words.collect();
    let mut what = if desc.lower.is_empty() {
        Overlay::from_options(words.iter().map(String::as_str)).kind(FailureKind::Mount)?
    } else {
        Overlay {
            options: options.data.clone(),
            ..Overlay::default()
        }
    };
    if !desc.lower.is_empty() {
        if let ([one], true) = (&desc.lower[..], desc.upper.is_empty()) {
            // The kernel wants two layers or an upper one: a single layer is its own read-only view.
            let path = Path::new(one);
            let fd = mount::open_tree_host(path, false).map_err(|e| source_error(&e, path))?;
            mount::set_attr(&fd, mount::RDONLY | options.set, 0, false).kind(FailureKind::Mount)?;
            return Ok(fd);
        }
        what.lower = desc.lower.iter().map(Into::into).collect();
        what.upper =
            (!desc.upper.is_empty()).then(|| (desc.upper.clone().into(), desc.work.clone().into()));
    }
    forget_volatile(&what)?;
    mount::overlay(&what, options.set)
        .map_err(|e| e.within("root file system"))
        .kind(FailureKind::Mount)
}

/// A volatile overlay leaves a mark in its work directory that keeps the kernel (since 5.10) from mounting it again, as
/// it may have lost writes if the machine crashed meanwhile. Whoever asks for a volatile one again has said that this
/// does not matter.
fn forget_volatile(what: &Overlay) -> Result<()> {
    let Some((_, work)) = &what.upper else {
        return Ok(());
    };
    if !what.options.iter().any(|(key, _)| key == "volatile") {
        return Ok(());
    }
    let mark = work.join("work/incompat/volatile");
    // With the file `dirty` in it.
    match std::fs::remove_dir_all(&mark) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            let what = format!("remove {}", mark.display());
            Err(gantry_sys::Error::from_io(what, &e).into())
        }
        _ => Ok(()),
    }
}

/// A missing host path is the user's to mend and gets its own kind.
pub(super) fn source_error(error: &gantry_sys::Error, path: &Path) -> LaunchError {
    let missing = error.errno() == gantry_sys::Errno::ENOENT;
    let kind = if missing {
        FailureKind::MountSource
    } else {
        FailureKind::Mount
    };
    let message = format!("bind source {}: {}", path.display(), error.errno().desc());
    LaunchError {
        kind,
        message,
        errno: error.errno() as i32,
    }
}
