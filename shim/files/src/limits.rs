//! How much of a stranger's archive we are ready to take.

use serde::{Deserialize, Serialize};

/// Bounds of one unpack or copy. Exceeding one is an error of kind `limit`, and nothing of the result is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes after decompression, and bytes of all files with their holes, each.
    pub bytes: u64,
    /// Entries of the archive, whiteouts among them.
    pub entries: u64,
    /// Parts of one path.
    pub depth: usize,
    /// Bytes of one path or link target.
    pub path: usize,
    /// Bytes of one extended header (PAX records, GNU long names).
    pub header: u64,
    /// Output may be this many times the input…
    pub ratio: u64,
    /// …once this many bytes have come out. Small layers of zeros are honest.
    pub ratio_after: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 4_000_000,
            depth: 256,
            path: 4096,
            header: 1 << 20,
            ratio: 300,
            ratio_after: 4 << 30,
        }
    }
}
