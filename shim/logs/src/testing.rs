//! A log's place for one test; it goes with the test.

use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Path of a log file in a folder of its own.
pub(crate) struct Place {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A new place with nothing in it.
pub(crate) fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
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
