//! The ELF note a host reads before any code of a library runs.

use crate::{ABI_MAJOR, ABI_MINOR};

/// The section that holds the note.
pub const NOTE_SECTION: &str = ".note.gantry";
/// The note's owner, with its closing zero.
pub const NOTE_OWNER: &[u8; 7] = b"Gantry\0";
/// The note's type.
pub const NOTE_TYPE: u32 = 1;

/// The note as it lies in the file.
#[repr(C, align(4))]
pub struct Note {
    /// Length of the owner's name with its zero: 7.
    pub owner_len: u32,
    /// Length of what follows `owner`: 96.
    pub desc_len: u32,
    /// [`NOTE_TYPE`].
    pub note_type: u32,
    /// [`NOTE_OWNER`], padded.
    pub owner: [u8; 8],
    /// Major version the plugin was built for.
    pub abi_major: u32,
    /// Minor version the plugin was built for.
    pub abi_minor: u32,
    /// Kind, padded with zeros.
    pub kind: [u8; 24],
    /// Name, padded with zeros.
    pub name: [u8; 64],
}

impl Note {
    /// A note of this version.
    ///
    /// # Panics
    /// At compile time, when a name is too long or has a character other than `a-z`, `0-9` and `-`.
    pub const fn new(kind: &str, name: &str) -> Self {
        Self {
            owner_len: 7,
            desc_len: 96,
            note_type: NOTE_TYPE,
            owner: *b"Gantry\0\0",
            abi_major: ABI_MAJOR,
            abi_minor: ABI_MINOR,
            kind: pad(kind),
            name: pad(name),
        }
    }
}

const fn pad<const N: usize>(text: &str) -> [u8; N] {
    let bytes = text.as_bytes();
    assert!(
        !bytes.is_empty() && bytes.len() < N,
        "a kind or name is empty or too long"
    );
    let mut padded = [0; N];
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        assert!(
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-',
            "a kind or name has a character other than a-z, 0-9 and -"
        );
        padded[at] = byte;
        at += 1;
    }
    padded
}
