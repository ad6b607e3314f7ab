//! The root: made detached, put over `/` of the child's own mount namespace, filled, and pivoted into.

use super::options::Options;
use super::{devices, masks, mounts, sysctl};
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::launch::{Launch, MountDesc, Rootfs};
use gantry_sys::mount::{self, Overlay, Propagation};
use oci_spec::runtime::Spec;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A root under construction.
pub(super) struct Root {
    /// The mount itself.
    pub(super) fd: OwnedFd,
    /// Our own procfs mount, when the configuration has one: the only one ever written through.
    pub(super) proc: Option<OwnedFd>,
}

/// Makes the root and everything mounted in it.
pub(super) fn build(launch: &Launch<'_>, flags: i32) -> Result<Root> {
    let fd = make(launch.rootfs)?;
    // Sources of shared and slave binds are cloned while this namespace still is a peer of the host's.
    let early = mounts::clone_propagated(launch.spec)?;
    mount::set_namespace_propagation(Propagation::Private)?;
    mount::set_propagation(&fd, Propagation::Private, true).kind(FailureKind::Mount)?;
    let top = std::fs::File::open("/").map_err(|e| gantry_sys::Error::from_io("open /", &e))?;
    mount::attach(&fd, &top)
        .map_err(|e| e.within("attach root"))
        .kind(FailureKind::Mount)?;
    let mut root = Root { fd, proc: None };
    mounts::apply(launch, &mut root, early, flags)?;
    devices::extra(launch.spec, &root.fd)?;
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

/// Makes it the process's root.
pub(super) fn enter(root: &Root, spec: &Spec) -> Result<()> {
    mount::pivot_root(&root.fd).kind(FailureKind::Mount)?;
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
    mount::set_propagation(&root.fd, how, wanted.is_some_and(|w| w.starts_with('r')))
        .kind(FailureKind::Mount)
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
