//! A log's place for one test, a disk that can be full, and numbers that look random and come again.

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Path of a log file in a folder of its own.
pub(crate) struct Place {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A new place with nothing in it; it goes with the test.
pub(crate) fn place() -> Place {
    // In memory where there is such a place: compressing syncs, and a busy disk makes a long test of it.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    Place {
        path: folder.path().join("log"),
        _folder: folder,
    }
}

impl Deref for Place {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Place {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// A disk as a test wants it, the same for all files of a log; by default the real one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// Bytes that are free.
    pub(crate) room: Option<Rc<Cell<usize>>>,
    /// Blocks can be taken ahead.
    pub(crate) takes_ahead: bool,
    /// Every write fails with another error than a full disk's.
    pub(crate) broken: Rc<Cell<bool>>,
}

impl Disk {
    /// With so much room, and no blocks taken ahead.
    pub(crate) fn with(room: usize) -> Self {
        Self {
            room: Some(Rc::new(Cell::new(room))),
            ..Self::default()
        }
    }

    pub(crate) fn set(&self, room: usize) {
        self.room.as_ref().unwrap().set(room);
    }

    /// How many of `len` bytes a write takes, of which the first `ahead` need no room.
    pub(crate) fn write(&self, ahead: u64, len: usize) -> io::Result<usize> {
        if self.broken.get() {
            return Err(io::Error::other("broken"));
        }
        let Some(room) = &self.room else {
            return Ok(len);
        };
        let ahead = usize::try_from(ahead).unwrap().min(len);
        let more = (len - ahead).min(room.get());
        room.set(room.get() - more);
        if ahead + more == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(ahead + more)
    }

    pub(crate) fn take_ahead(&self, taken: u64, end: u64) -> io::Result<()> {
        let Some(room) = &self.room else {
            return Ok(());
        };
        if !self.takes_ahead {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let need = usize::try_from(end.saturating_sub(taken)).unwrap();
        let left = room.get().checked_sub(need);
        room.set(left.ok_or(io::ErrorKind::StorageFull)?);
        Ok(())
    }
}

/// xorshift64*: a test says its seed when it fails, and runs the same again with it.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % limit
    }

    pub(crate) fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == 0
    }
}
