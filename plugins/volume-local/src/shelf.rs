//! Folders and records of volumes on disk, made and removed durably.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use gantry_sdk::{Error, Labels, Result};
use serde::{Deserialize, Serialize};

const RECORD: &str = "volume.json";
const VERSION: u32 = 1;

/// How a volume was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// Options of the driver.
    pub(crate) options: Labels,
    /// Given by the user.
    pub(crate) labels: Labels,
}

/// The driver's root.
pub(crate) struct Shelf {
    root: PathBuf,
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let what = format!("{what} {}", path.display());
    move |error| Error::io(what, &error)
}

/// A fault that a test asked for.
fn injected(fault: gantry_fault::Injected) -> Error {
    Error::internal(fault.to_string())
}

fn make(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other.map_err(failed("make folder", path))?,
    }
    // The umask is the process's, not ours.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("open up", path))
}

fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|f| f.sync_all())
        .map_err(failed("sync", path))
}

impl Shelf {
    pub(crate) fn new(root: &str) -> Self {
        Self { root: root.into() }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where a volume's data is.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder(name).join("_data")
    }

    /// How a volume was asked for; none when it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Record>> {
        let path = self.folder(name).join(RECORD);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A power cut before the record reached the disk, so before anybody was told of it.
            Ok(bytes) if bytes.is_empty() => return Ok(None),
            other => other.map_err(failed("read", &path))?,
        };
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|e| Error::internal(format!("read {}: {e}", path.display())))?;
        if record.version > VERSION {
            let what = format!(
                "read {}: format {} is too new",
                path.display(),
                record.version
            );
            return Err(Error::internal(what));
        }
        Ok(Some(record))
    }

    /// Makes a volume, or finishes one whose making was cut short. The record comes last: it says
    /// that the volume is there.
    pub(crate) fn make(&self, name: &str, options: &Labels, labels: &Labels) -> Result<()> {
        let folder = self.folder(name);
        gantry_fault::point("volume-local.make.before-folder").map_err(injected)?;
        make(&folder, 0o711)?;
        gantry_fault::point("volume-local.make.after-folder").map_err(injected)?;
        make(&self.data(name), 0o755)?;
        gantry_fault::point("volume-local.make.after-data").map_err(injected)?;
        let record = Record {
            version: VERSION,
            options: options.clone(),
            labels: labels.clone(),
        };
        let bytes = serde_json::to_vec(&record)
            .map_err(|e| Error::internal(format!("write the record of volume {name}: {e}")))?;
        let path = folder.join(RECORD);
        let write = |file: &mut File| file.write_all(&bytes).and_then(|()| file.sync_all());
        let mut options = OpenOptions::new();
        let made = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path);
        let mut file = made.map_err(failed("make", &path))?;
        gantry_fault::point("volume-local.make.before-record").map_err(injected)?;
        write(&mut file).map_err(failed("write", &path))?;
        gantry_fault::point("volume-local.make.after-record").map_err(injected)?;
        sync(&self.root)
    }

    /// Removes a volume with its data; one that is not there is no error. Its name is free from the rename on: that some
    /// of its data could not be deleted then is answered in words, and tried again by the next [`Shelf::sweep`].
    pub(crate) fn remove(&self, name: &str) -> Result<Option<String>> {
        let folder = self.folder(name);
        // No volume's name begins with a dot.
        let bin = self.root.join(".removed");
        make(&bin, 0o700)?;
        let gone = bin.join(unique());
        gantry_fault::point("volume-local.remove.before-rename").map_err(injected)?;
        match fs::rename(&folder, &gone) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed("remove", &folder))?,
        }
        // Not synced: after a power cut the volume is gone, or there again whole.
        // Symlinks inside are removed, never followed.
        let deleted = match gantry_fault::point("volume-local.remove.after-rename") {
            Ok(()) => fs::remove_dir_all(&gone).map_err(|e| e.to_string()),
            Err(fault) => Err(fault.to_string()),
        };
        gantry_fault::pass("volume-local.remove.after-delete");
        let left = |e: String| format!("data of the removed volume {name} stays for now: {e}");
        Ok(deleted.err().map(left))
    }

    /// Removes what removals cut short left behind.
    pub(crate) fn sweep(&self) -> Result<()> {
        let bin = self.root.join(".removed");
        match fs::remove_dir_all(&bin) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(failed("remove", &bin)),
        }
    }

    /// Names of all volumes that are there.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.root).map_err(failed("read folder", &self.root))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("read folder", &self.root))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if crate::name::check(&name).is_ok() && self.read(&name)?.is_some() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Differs from all others of this process, and from those of a process before it.
fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{SystemTime, UNIX_EPOCH};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "{}.{}",
        now.as_nanos(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
