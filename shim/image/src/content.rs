//! The content store: files under their digest.
//!
//! Layout: `blobs/sha256/<hex>` holds verified content, `ingest/` what is being written. A blob is written, hashed,
//! fsynced, renamed, and the folder fsynced: in that order a power cut leaves it whole or not there.

mod ingest;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use gantry_model::digest::Digest;
use gantry_model::{Error, Result};
use sha2::{Digest as _, Sha256};

pub(crate) use ingest::{Ingest, Ingested};

/// Largest manifest, index or configuration that is read into memory.
pub(crate) const DOCUMENT: u64 = 4 << 20;

/// The store. All calls block on the file system.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    blobs: PathBuf,
    ingest: PathBuf,
    sizes: PathBuf,
}

impl Content {
    /// Opens the store, making its folders. What an earlier daemon left half-written is removed.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let content = Self {
            blobs: root.join("blobs/sha256"),
            ingest: root.join("ingest"),
            sizes: root.join("layers/sha256"),
        };
        match fs::remove_dir_all(&content.ingest) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(io("empty", &content.ingest, &e));
            }
            _ => {}
        }
        for dir in [&content.blobs, &content.ingest, &content.sizes] {
            // Images may hold secrets and setuid files: nobody else looks in.
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|e| io("make", dir, &e))?;
        }
        Ok(content)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Size of a blob, if it is there.
    pub(crate) fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io("look at", &path, &e)),
        }
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// `NotFound` if it is not there.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        File::open(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Error::not_found(format!("content {digest} is not in the store"))
            }
            _ => io("open", &path, &e),
        })
    }

    /// Reads a small blob and checks it against its digest once more: what decides how a container runs must be whole.
    pub(crate) fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        let file = self.open_blob(digest)?;
        file.take(DOCUMENT + 1)
            .read_to_end(&mut data)
            .map_err(|e| io("read", &self.path(digest), &e))?;
        if data.len() as u64 > DOCUMENT {
            return Err(Error::invalid(format!(
                "document {digest} is larger than {DOCUMENT} bytes"
            )));
        }
        if sha256(&data) != *digest {
            return Err(Error::data_loss(format!(
                "content {digest} is damaged on disk"
            )));
        }
        Ok(data)
    }

    /// Starts writing a blob.
    pub(crate) fn ingest(&self) -> Result<Ingest> {
        Ingest::new(&self.ingest, &self.blobs)
    }

    /// Stores a small blob.
    pub(crate) fn put(&self, data: &[u8]) -> Result<Digest> {
        let mut ingest = self.ingest()?;
        ingest.write(data)?;
        let done = ingest.finish()?;
        let digest = done.digest().clone();
        done.commit()?;
        Ok(digest)
    }

    /// Removes a blob and answers whether it was there.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool> {
        let path = self.path(digest);
        gantry_fault::point("image.blob.before-remove")?;
        match fs::remove_file(&path) {
            Ok(()) => {
                gantry_fault::pass("image.blob.after-remove");
                Ok(true)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(io("remove", &path, &e)),
        }
    }

    /// All blobs with their sizes.
    pub(crate) fn list(&self) -> Result<Vec<(Digest, u64)>> {
        let mut blobs = Vec::new();
        for entry in fs::read_dir(&self.blobs).map_err(|e| io("list", &self.blobs, &e))? {
            let entry = entry.map_err(|e| io("list", &self.blobs, &e))?;
            let name = entry.file_name();
            let Some(digest) = name.to_str().and_then(|n| Digest::from_hex(n).ok()) else {
                continue;
            };
            // Removed meanwhile: not there.
            if let Ok(meta) = entry.metadata() {
                blobs.push((digest, meta.len()));
            }
        }
        Ok(blobs)
    }

    /// Notes how many bytes a layer's files have; lost at a power cut, which only makes a number in a list zero.
    pub(crate) fn note_unpacked_size(&self, diff_id: &Digest, bytes: u64) {
        if let Err(e) = fs::write(self.sizes.join(diff_id.hex()), bytes.to_string()) {
            tracing::warn!(%diff_id, error = %e, "size of the unpacked layer is not noted");
        }
    }

    /// What was noted; 0 if nothing was.
    pub(crate) fn unpacked_size(&self, diff_id: &Digest) -> u64 {
        fs::read_to_string(self.sizes.join(diff_id.hex()))
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or(0)
    }

    /// Forgets notes of layers nothing needs.
    pub(crate) fn forget_sizes(&self, keep: impl Fn(&str) -> bool) {
        let Ok(entries) = fs::read_dir(&self.sizes) else {
            return;
        };
        for entry in entries.flatten() {
            if !entry.file_name().to_str().is_some_and(&keep) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The folder of the store.
    pub(crate) fn root(&self) -> &Path {
        self.ingest.parent().unwrap_or(&self.ingest)
    }
}

/// The digest of these bytes.
pub(crate) fn sha256(data: &[u8]) -> Digest {
    Digest::from_bytes(&Sha256::digest(data).into())
}

/// An error of the file system: a full disk is told apart.
pub(crate) fn io(doing: &str, path: &Path, e: &std::io::Error) -> Error {
    let text = format!("{doing} {}: {e}", path.display());
    match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::exhausted(format!(
            "{text}: the file system is full; remove images nobody needs or free space on it"
        )),
        _ => Error::internal(text),
    }
}

#[cfg(test)]
mod tests;
