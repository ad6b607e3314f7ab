//! The copy that is opened: `<root>/plugins/<sha256>.so`.
//!
//! Never the file itself: after a rename glibc hands out the old library for the same path, and whoever overwrites a
//! mapped file in place kills the process.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{LoadError, Result};

/// Longest library that is copied.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// A copy and its digest in hex.
pub(crate) struct Copy {
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    pub(crate) file: File,
}

/// Copies an open file into `folder` (made with mode 0700 if missing), named by the digest of what was copied.
pub(crate) fn copy(source: &File, from: &Path, folder: &Path) -> Result<Copy> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| LoadError::io("make folder", folder, e))?;
    // A restart meets the same libraries: reading them is cheap, writing and syncing is not.
    let sha256 = digest_of(source).map_err(|e| LoadError::io("read", from, e))?;
    if let Some(copy) = existing(folder, &sha256) {
        return Ok(copy);
    }
    let temporary = folder.join(format!(
        ".new-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let copied =
        write(source, from, &temporary).and_then(|sha256| place(&temporary, folder, sha256));
    if copied.is_err() {
        // Gone already once it was renamed; otherwise the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    copied
}

fn write(mut source: &File, from: &Path, temporary: &Path) -> Result<String> {
    let mut target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o500)
        .open(temporary)
        .map_err(|e| LoadError::io("make", temporary, e))?;
    source
        .seek(SeekFrom::Start(0))
        .map_err(|e| LoadError::io("read", from, e))?;
    let sha256 = digest(source, |bytes| target.write_all(bytes))
        .map_err(|e| LoadError::io("copy", from, e))?;
    target
        .sync_all()
        .map_err(|e| LoadError::io("sync", temporary, e))?;
    Ok(sha256)
}

fn place(temporary: &Path, folder: &Path, sha256: String) -> Result<Copy> {
    let path = folder.join(format!("{sha256}.so"));
    // Replaces a damaged one (a power cut) by rename: its inode may still be mapped somewhere.
    fs::rename(temporary, &path).map_err(|e| LoadError::io("place", &path, e))?;
    File::open(folder)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| LoadError::io("sync", folder, e))?;
    let file = File::open(&path).map_err(|e| LoadError::io("open", &path, e))?;
    Ok(Copy { path, sha256, file })
}

fn existing(folder: &Path, sha256: &str) -> Option<Copy> {
    let path = folder.join(format!("{sha256}.so"));
    let file = File::open(&path).ok()?;
    let whole = digest_of(&file).is_ok_and(|found| found == sha256);
    whole.then(|| Copy {
        path,
        sha256: sha256.to_owned(),
        file,
    })
}

/// Digest of a whole file, in hex.
pub(crate) fn digest_of(mut file: &File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    digest(file, |_| Ok(()))
}

fn digest(mut source: &File, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        total += read as u64;
        if total > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        hasher.update(&buffer[..read]);
        each(&buffer[..read])?;
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
