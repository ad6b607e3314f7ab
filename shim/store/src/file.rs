//! The file under redb, with blocks of its own: all of its length, and as much again past its end.
//!
//! Invariant: a write inside the file never meets a full disk, since its blocks are there already; only growing may.
//! redb grows by doubling, and the next doubling is what is kept past the end, where no other program can take it. So
//! on a disk that others have filled, exits and removals are still recorded: in the pages the growth gives, and
//! removals give more back.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gantry_model::Result;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::error::failed;

/// Gives `length` bytes from `offset` of a file their blocks without changing the length that is shown
/// (fallocate(2) with `FALLOC_FL_KEEP_SIZE`). `Unsupported` where the file system cannot.
pub type Allocate = fn(file: &File, offset: u64, length: u64) -> io::Result<()>;

/// How long after the disk had no space for the reserve it is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// The longest reserve: beyond, redb's own free pages are plenty.
const LONGEST: u64 = 64 << 20;

/// redb's own file, with blocks ahead.
pub(crate) struct Reserving {
    inner: FileBackend,
    file: File,
    allocate: Option<Allocate>,
    /// When the reserve could not be had.
    short: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Reserving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reserving").finish_non_exhaustive()
    }
}

impl Reserving {
    /// Opens or makes the file. A disk that has no space for the reserve is no error.
    pub(crate) fn open(path: &Path, allocate: Option<Allocate>) -> Result<Self> {
        let doing = || "open the database";
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| failed(doing(), redb::Error::Io(e)))?;
        let own = file
            .try_clone()
            .map_err(|e| failed(doing(), redb::Error::Io(e)))?;
        let backend = Self {
            inner: FileBackend::new(file).map_err(|e| failed(doing(), e))?,
            file: own,
            allocate,
            short: Mutex::new(None),
        };
        // What an earlier version wrote has holes.
        backend.reserve();
        Ok(backend)
    }

    /// Blocks for the whole file and for its next growth.
    fn reserve(&self) {
        let Some(allocate) = self.allocate else {
            return;
        };
        let had = self.file.metadata().and_then(|meta| {
            let length = meta.len();
            // In this order: what there is of the disk goes to the file first.
            allocate(&self.file, 0, length.max(1))?;
            allocate(&self.file, length, length.clamp(1, LONGEST))
        });
        let short = match had {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Some(Instant::now()),
            _ => None,
        };
        *self.short.lock().unwrap_or_else(PoisonError::into_inner) = short;
    }

    fn reserve_again(&self) {
        let short = *self.short.lock().unwrap_or_else(PoisonError::into_inner);
        if short.is_some_and(|since| since.elapsed() > AGAIN) {
            self.reserve();
        }
    }
}

impl StorageBackend for Reserving {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let before = self.inner.len()?;
        if let Some(allocate) = self.allocate
            && length > before
            && let Err(error) = allocate(&self.file, before, length - before)
            && error.kind() != io::ErrorKind::Unsupported
        {
            return Err(error);
        }
        self.inner.set_len(length)?;
        self.reserve();
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()?;
        self.reserve_again();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> std::result::Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> std::result::Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> std::result::Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> std::result::Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> std::result::Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> std::result::Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
