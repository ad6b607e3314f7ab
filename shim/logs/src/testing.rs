//! A log's place for one test, and numbers that look random and come again.

use std::ops::Deref;
use std::path::{Path, PathBuf};

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
