//! One blob being written. Dropped before it is committed, it leaves nothing.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use gantry_model::Result;
use gantry_model::digest::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};

use super::io;

/// Being written.
pub(crate) struct Ingest {
    file: NamedTempFile,
    blobs: PathBuf,
    sum: Sha256,
    size: u64,
}

/// Written, its digest known, not yet in the store.
pub(crate) struct Ingested {
    /// Closed: an archive may have thousands of them.
    file: TempPath,
    blobs: PathBuf,
    digest: Digest,
    size: u64,
}

impl Ingest {
    pub(super) fn new(ingest: &Path, blobs: &Path) -> Result<Self> {
        gantry_fault::point("image.ingest.before-make")?;
        let file = NamedTempFile::new_in(ingest).map_err(|e| io("write into", ingest, &e))?;
        Ok(Self {
            file,
            blobs: blobs.to_owned(),
            sum: Sha256::new(),
            size: 0,
        })
    }

    /// Appends.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<()> {
        self.file
            .write_all(data)
            .map_err(|e| io("write", self.file.path(), &e))?;
        self.sum.update(data);
        self.size += data.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Ends writing.
    pub(crate) fn finish(self) -> Result<Ingested> {
        let digest = Digest::from_bytes(&self.sum.finalize().into());
        Ok(Ingested {
            file: self.file.into_temp_path(),
            blobs: self.blobs,
            digest,
            size: self.size,
        })
    }
}

impl Ingested {
    /// What was written.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The file, to be read while it is not in the store yet.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Puts it into the store under its digest; there already is fine.
    pub(crate) fn commit(self) -> Result<()> {
        let target = self.blobs.join(self.digest.hex());
        gantry_fault::point("image.blob.before-sync")?;
        File::open(&self.file)
            .and_then(|file| file.sync_all())
            .map_err(|e| io("flush", &self.file, &e))?;
        gantry_fault::point("image.blob.before-rename")?;
        self.file
            .persist(&target)
            .map_err(|e| io("store", &target, &e.error))?;
        gantry_fault::point("image.blob.after-rename")?;
        let dir = File::open(&self.blobs).and_then(|dir| dir.sync_all());
        dir.map_err(|e| io("flush", &self.blobs, &e))
    }
}
