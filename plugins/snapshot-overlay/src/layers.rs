//! The folders inside one snapshot and the mount they make.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use gantry_sdk::snapshot::Kind;
use gantry_sdk::{Error, MountSpec, Result};

/// Where a snapshot's own files are.
pub(crate) fn content(folder: &Path) -> PathBuf {
    folder.join("fs")
}

fn work(folder: &Path) -> PathBuf {
    folder.join("work")
}

/// A path as it goes into an answer.
///
/// # Errors
/// When the driver's root is not UTF-8.
pub(crate) fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::internal(format!("path {} is not UTF-8", path.display())))
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let what = format!("{what} {}", path.display());
    move |error| Error::io(what, &error)
}

/// Makes the folders of a new snapshot. The top folder of an overlay shows its uppermost layer's
/// owner and mode, so a new layer takes them from the one below.
///
/// # Errors
/// When a folder cannot be made.
pub(crate) fn fill(folder: &Path, kind: Kind, parent: Option<&Path>) -> Result<()> {
    let own = content(folder);
    DirBuilder::new()
        .mode(0o755)
        .create(&own)
        .map_err(failed("make", &own))?;
    let mut mode = 0o755;
    if let Some(parent) = parent.map(content) {
        let below = fs::metadata(&parent).map_err(failed("look at", &parent))?;
        mode = below.mode() & 0o7777;
        chown(&own, Some(below.uid()), Some(below.gid())).map_err(failed("give", &own))?;
    }
    // After the owner, which clears bits; and the umask is the process's, not ours.
    fs::set_permissions(&own, Permissions::from_mode(mode)).map_err(failed("open up", &own))?;
    if kind == Kind::Active {
        let work = work(folder);
        DirBuilder::new()
            .mode(0o700)
            .create(&work)
            .map_err(failed("make", &work))?;
    }
    Ok(())
}

/// Removes overlayfs' own folder of a snapshot that nobody mounts any more.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn drop_work(folder: &Path) -> Result<()> {
    let work = work(folder);
    match fs::remove_dir_all(&work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &work)(error))
        }
        _ => Ok(()),
    }
}

/// The mount of a snapshot in `folder` on `lower`, uppermost first.
///
/// Overlayfs wants a lower layer beneath a writable one, and two of them without one: with fewer
/// there is nothing to lay over anything, and a bind mount says the same.
///
/// # Errors
/// When a path is not UTF-8.
pub(crate) fn mount(
    kind: Kind,
    folder: &Path,
    lower: Vec<String>,
    options: &[String],
) -> Result<MountSpec> {
    let own = text(&content(folder))?;
    let mut mount = match (kind, lower.as_slice()) {
        (Kind::Active, []) => return Ok(MountSpec::bind(own, false)),
        (_, []) => return Ok(MountSpec::bind(own, true)),
        (Kind::Active, _) => MountSpec::overlay(lower, Some((own, text(&work(folder))?))),
        (_, [only]) => return Ok(MountSpec::bind(only.clone(), true)),
        _ => MountSpec::overlay(lower, None),
    };
    mount.options = options.to_vec();
    Ok(mount)
}
