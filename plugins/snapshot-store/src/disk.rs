//! Folders and records on disk: made, renamed, synced. Knows nothing of keys.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gantry_sdk::{Error, Result};

use crate::record::{Record, VERSION};

const RECORD: &str = "record.json";

/// The three folders of a store.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
}

/// What opening found in one folder of `snapshots`.
pub(crate) enum Found {
    /// A snapshot.
    Record(Record),
    /// Its record was never finished: the call that made it never returned.
    Unfinished,
    /// A record nobody here can read.
    Unreadable(Error),
}

/// A fault that a test asked for.
pub(crate) fn injected(fault: gantry_fault::Injected) -> Error {
    Error::internal(fault.to_string())
}

pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::io(format!("{what} {}", path.display()), error)
}

/// Makes a folder unless it is there. `mode` loses the bits of the process's umask.
fn make(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("make folder", path, &error))
        }
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| failed("sync", path, &error))
}

impl Disk {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let disk = Self {
            root: root.to_owned(),
        };
        // Others may pass through on the way to a layer, but not look around.
        make(&disk.kept(), 0o711)?;
        make(&disk.root.join("making"), 0o700)?;
        make(&disk.root.join("removed"), 0o700)?;
        Ok(disk)
    }

    fn kept(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(crate) fn folder(&self, number: u64) -> PathBuf {
        self.kept().join(number.to_string())
    }

    /// Numbers in `snapshots`, and the highest ever seen in any of the three.
    pub(crate) fn numbers(&self) -> Result<(Vec<u64>, u64)> {
        let mut kept = Vec::new();
        let mut highest = 0;
        for folder in ["snapshots", "making", "removed"] {
            let path = self.root.join(folder);
            let entries = fs::read_dir(&path).map_err(|e| failed("read folder", &path, &e))?;
            for entry in entries {
                let name = entry
                    .map_err(|e| failed("read folder", &path, &e))?
                    .file_name();
                let Some(number) = name.to_str().and_then(|n| n.parse().ok()) else {
                    continue;
                };
                highest = highest.max(number);
                if folder == "snapshots" {
                    kept.push(number);
                }
            }
        }
        Ok((kept, highest))
    }

    pub(crate) fn read(&self, number: u64) -> Found {
        let path = self.folder(number).join(RECORD);
        let bytes = match fs::read(&path) {
            Ok(bytes) if bytes.is_empty() => return Found::Unfinished,
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Unfinished,
            Err(error) => return Found::Unreadable(failed("read", &path, &error)),
        };
        match serde_json::from_slice::<Record>(&bytes) {
            Ok(record) if record.version <= VERSION => Found::Record(Record { number, ..record }),
            Ok(record) => Found::Unreadable(Error::internal(format!(
                "read {}: format {} is newer than {VERSION}",
                path.display(),
                record.version
            ))),
            Err(error) => {
                Found::Unreadable(Error::internal(format!("read {}: {error}", path.display())))
            }
        }
    }

    /// An empty folder to be filled before [`Disk::keep`].
    pub(crate) fn begin(&self, number: u64) -> Result<PathBuf> {
        let path = self.root.join("making").join(number.to_string());
        gantry_fault::point("snapshot-store.make.before-folder").map_err(injected)?;
        make(&path, 0o711)?;
        gantry_fault::point("snapshot-store.make.after-folder").map_err(injected)?;
        Ok(path)
    }

    /// Moves a filled folder to `snapshots` and makes it durable.
    ///
    /// The record is synced after the rename: ext4 and others then write one journal transaction
    /// instead of two, and a power cut in between leaves an empty record, read as unfinished. The
    /// folder itself needs no sync: its entries were logged before the rename.
    pub(crate) fn keep(&self, making: &Path, record: &Record) -> Result<()> {
        gantry_fault::point("snapshot-store.keep.before-record").map_err(injected)?;
        let file = write(&making.join(RECORD), record)?;
        gantry_fault::point("snapshot-store.keep.before-rename").map_err(injected)?;
        let kept = self.folder(record.number);
        fs::rename(making, &kept).map_err(|e| failed("rename to", &kept, &e))?;
        gantry_fault::point("snapshot-store.keep.after-rename").map_err(injected)?;
        let path = kept.join(RECORD);
        file.sync_all().map_err(|e| failed("sync", &path, &e))?;
        sync(&self.kept())?;
        gantry_fault::point("snapshot-store.keep.after-sync").map_err(injected)
    }

    /// Replaces the record of a snapshot in one step and makes it durable.
    pub(crate) fn rewrite(&self, record: &Record) -> Result<()> {
        let folder = self.folder(record.number);
        let (new, path) = (folder.join("record.new"), folder.join(RECORD));
        let file = write(&new, record)?;
        file.sync_all().map_err(|e| failed("sync", &new, &e))?;
        gantry_fault::point("snapshot-store.commit.before-rename").map_err(injected)?;
        fs::rename(&new, &path).map_err(|e| failed("rename to", &path, &e))?;
        gantry_fault::pass("snapshot-store.commit.after-rename");
        sync(&folder)
    }

    /// Writes all that was written into a snapshot to disk.
    pub(crate) fn sync_content(&self, number: u64) -> Result<()> {
        let path = self.folder(number);
        let folder = File::open(&path).map_err(|e| failed("open", &path, &e))?;
        gantry_fault::point("snapshot-store.commit.before-sync").map_err(injected)?;
        gantry_sys::tree::sync_file_system(&folder)
            .map_err(|e| Error::io(format!("sync {}", path.display()), &e.into()))
    }

    /// Moves a snapshot out of sight; its space is freed by [`free`].
    ///
    /// Not synced: the rename is logged before anything that is removed beneath it, so that after a
    /// power cut the snapshot is gone, or there again whole, for the host to find by `list`.
    pub(crate) fn put_away(&self, number: u64) -> Result<PathBuf> {
        let removed = self.root.join("removed").join(number.to_string());
        let kept = self.folder(number);
        gantry_fault::point("snapshot-store.remove.before-rename").map_err(injected)?;
        fs::rename(&kept, &removed).map_err(|e| failed("rename", &kept, &e))?;
        gantry_fault::pass("snapshot-store.remove.after-rename");
        Ok(removed)
    }

    /// Folders that belong to no snapshot, but for those being made.
    pub(crate) fn leftovers(&self, making: &[u64]) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for folder in ["making", "removed"] {
            let path = self.root.join(folder);
            let entries = fs::read_dir(&path).map_err(|e| failed("read folder", &path, &e))?;
            for entry in entries {
                let entry = entry.map_err(|e| failed("read folder", &path, &e))?;
                let number = number_of(&entry.file_name());
                if folder == "removed" || number.is_none_or(|n| !making.contains(&n)) {
                    found.push(entry.path());
                }
            }
        }
        Ok(found)
    }
}

fn number_of(name: &OsStr) -> Option<u64> {
    name.to_str()?.parse().ok()
}

/// Frees a folder's space. Symlinks in it are removed, never followed.
pub(crate) fn free(path: &Path) -> Result<()> {
    gantry_fault::point("snapshot-store.free.before-delete").map_err(injected)?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", path, &error))
        }
        _ => gantry_fault::point("snapshot-store.free.after-delete").map_err(injected),
    }
}

fn write(path: &Path, record: &Record) -> Result<File> {
    let bytes = serde_json::to_vec(record)
        .map_err(|e| Error::internal(format!("write {}: {e}", path.display())))?;
    let mut options = OpenOptions::new();
    let made = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    made.and_then(|mut file| file.write_all(&bytes).map(|()| file))
        .map_err(|e| failed("write", path, &e))
}
