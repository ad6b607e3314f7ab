//! Files put aside: their names and numbers, who may renumber them, and which file was which before it was compressed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes at a file's beginning that tell it from others.
const HEAD: usize = 256;

/// One file put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Aside {
    /// From 1, the newest.
    pub(crate) number: u32,
    /// Compressed.
    pub(crate) gz: bool,
}

impl Aside {
    pub(crate) fn path(self, log: &Path) -> PathBuf {
        with_suffix(
            log,
            &format!(".{}{}", self.number, if self.gz { ".gz" } else { "" }),
        )
    }
}

/// `log` with something added to its name.
pub(crate) fn with_suffix(log: &Path, suffix: &str) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder of a log.
pub(crate) fn folder(log: &Path) -> &Path {
    match log.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What is put aside of a log, by number; of one number the plain file comes first.
pub(crate) fn list(log: &Path) -> io::Result<Vec<Aside>> {
    let mut found = Vec::new();
    let Some(name) = log.file_name().and_then(|n| n.to_str()) else {
        return Ok(found);
    };
    let entries = match std::fs::read_dir(folder(log)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        other => other?,
    };
    for entry in entries {
        let entry = entry?.file_name();
        let rest = entry.to_str().and_then(|e| e.strip_prefix(name));
        let Some(rest) = rest.and_then(|r| r.strip_prefix('.')) else {
            continue;
        };
        let (digits, gz) = match rest.strip_suffix(".gz") {
            Some(digits) => (digits, true),
            None => (rest, false),
        };
        // `1`, not `01` or `+1`: only names that we would write ourselves.
        if let Ok(number) = digits.parse()
            && number > 0
            && u32::to_string(&number) == digits
        {
            found.push(Aside { number, gz });
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes a file that may be gone already.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether it is one file.
pub(crate) fn same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Tells a log's file from all others, also after it was compressed: an inode number may come again, but not with the
/// same first line in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    inode: u64,
    head: u64,
}

impl Identity {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let mut head = [0; HEAD];
        let mut len = 0;
        while len < HEAD {
            match file.read_at(&mut head[len..], len as u64)? {
                0 => break,
                count => len += count,
            }
        }
        Ok(Self {
            inode: file.metadata()?.ino(),
            head: fnv(&head[..len]),
        })
    }

    /// As a subfield of a gzip header's extra field (RFC 1952, 2.3.1.1).
    pub(crate) fn to_extra(self) -> Vec<u8> {
        let mut out = b"GL\x10\0".to_vec();
        out.extend_from_slice(&self.inode.to_le_bytes());
        out.extend_from_slice(&self.head.to_le_bytes());
        out
    }

    pub(crate) fn from_extra(extra: &[u8]) -> Option<Self> {
        let rest = extra.strip_prefix(b"GL\x10\0")?;
        let (inode, head) = rest.split_at_checked(8)?;
        Some(Self {
            inode: u64::from_le_bytes(inode.try_into().ok()?),
            head: u64::from_le_bytes(head.try_into().ok()?),
        })
    }
}

/// FNV-1a: enough to tell two first lines apart.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
