//! Does overlayfs work on this root, and which options must be said so that it behaves the same
//! everywhere.

use std::fs;
use std::io;
use std::path::Path;

use gantry_sdk::{Error, ErrorCode, Result};
use gantry_sys::Errno;
use gantry_sys::mount::{Overlay, overlay};

/// What a probe found.
pub(crate) enum Found {
    /// Works.
    Works,
    /// It could not be tried: no privilege to mount, or no room on the disk. A plugin that gave up on a full disk would
    /// not come back when there is room again.
    Unknown(String),
}

/// Lays folders over each other, detached (before Linux 6.7: for a moment on `probe/lower`); it goes with its
/// descriptor.
///
/// # Errors
/// `FailedPrecondition` with the reason when overlayfs does not work here.
pub(crate) fn probe(root: &Path) -> Result<Found> {
    let folder = root.join("probe");
    let _ = fs::remove_dir_all(&folder);
    for name in ["lower", "upper", "work"] {
        let path = folder.join(name);
        if let Err(error) = fs::create_dir_all(&path) {
            let _ = fs::remove_dir_all(&folder);
            let what = format!("make folder {}", path.display());
            return match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Ok(Found::Unknown(format!("{what}: {error}")))
                }
                _ => Err(Error::io(what, &error)),
            };
        }
    }
    let what = Overlay {
        lower: vec![folder.join("lower")],
        upper: Some((folder.join("upper"), folder.join("work"))),
        options: Vec::new(),
    };
    let mounted = overlay(&what, 0).map(drop);
    let _ = fs::remove_dir_all(&folder);
    match mounted {
        Ok(()) => Ok(Found::Works),
        Err(error) if matches!(error.errno(), Errno::EPERM | Errno::ENOSPC | Errno::EDQUOT) => {
            Ok(Found::Unknown(error.to_string()))
        }
        Err(error) => Err(Error::new(
            ErrorCode::FailedPrecondition,
            format!(
                "overlay cannot be used on {} (a root on ext4, xfs, btrfs or tmpfs can; the \
                 snapshotter native can on any): {error}",
                root.display()
            ),
        )),
    }
}

/// Features whose default is the distribution's choice, switched off as far as this kernel has
/// them: layers must mean the same on every kernel, and with `index` layers that were removed and
/// fetched again give ESTALE.
pub(crate) fn options() -> Vec<String> {
    ["index", "redirect_dir", "metacopy"]
        .into_iter()
        .filter(|name| {
            let parameter = Path::new("/sys/module/overlay/parameters").join(name);
            parameter.try_exists().unwrap_or(false)
        })
        .map(|name| format!("{name}=off"))
        .collect()
}
