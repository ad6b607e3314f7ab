//! Reads the ELF note without running or mapping anything: 64-bit little-endian ELF, program headers first, then, for
//! compilers that mark the section as plain data, the section headers. Every length in the file is an attacker's.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gantry_abi::{ABI_MAJOR, NOTE_OWNER, NOTE_SECTION, NOTE_TYPE};

use crate::{LoadError, Result};

/// What the note says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `snapshotter`, `network`, `volume`.
    pub kind: String,
    /// The driver's name.
    pub name: String,
    /// Major version it was built for.
    pub abi_major: u32,
    /// Minor version it was built for.
    pub abi_minor: u32,
}

const MAX_HEADERS: u16 = 4096;
const MAX_NOTES: u64 = 64 * 1024;
const PT_NOTE: u32 = 4;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;

/// Reads the note.
pub(crate) fn identity(file: &File, path: &Path) -> Result<Identity> {
    let elf = Elf { file, path };
    let head = elf.head()?;
    let found = match elf.in_segments(&head)? {
        Some(identity) => Some(identity),
        None => elf.in_sections(&head)?,
    };
    found.ok_or_else(|| LoadError::NoNote { path: path.into() })
}

/// A wrong major version is an error already here, before any code of the library runs.
pub(crate) fn check_major(identity: &Identity, path: &Path) -> Result<()> {
    if identity.abi_major != ABI_MAJOR {
        let (found, wanted) = (identity.abi_major, ABI_MAJOR);
        return Err(LoadError::WrongMajor {
            path: path.into(),
            found,
            wanted,
        });
    }
    Ok(())
}

struct Elf<'a> {
    file: &'a File,
    path: &'a Path,
}

impl Elf<'_> {
    fn head(&self) -> Result<[u8; 64]> {
        let head: [u8; 64] = self
            .read(0, 64)?
            .try_into()
            .map_err(|_| self.bad("too short"))?;
        let machine = if cfg!(target_arch = "aarch64") {
            EM_AARCH64
        } else {
            EM_X86_64
        };
        if &head[..4] != b"\x7fELF" {
            Err(self.bad("no ELF header"))
        } else if head[4] != 2 || head[5] != 1 {
            Err(self.bad("not 64-bit little-endian"))
        } else if u16_at(&head, 16) != 3 {
            Err(self.bad("not a shared object"))
        } else if u16_at(&head, 18) != machine {
            Err(self.bad("built for another processor"))
        } else {
            Ok(head)
        }
    }

    fn in_segments(&self, head: &[u8; 64]) -> Result<Option<Identity>> {
        for entry in self.entries(u64_at(head, 32), u16_at(head, 54), u16_at(head, 56), 56)? {
            if u32_at(&entry, 0) != PT_NOTE {
                continue;
            }
            let (offset, size, align) = (u64_at(&entry, 8), u64_at(&entry, 32), u64_at(&entry, 48));
            if let Some(found) = notes(&self.read(offset, size)?, align.clamp(4, 8)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn in_sections(&self, head: &[u8; 64]) -> Result<Option<Identity>> {
        let sections = self.entries(u64_at(head, 40), u16_at(head, 58), u16_at(head, 60), 64)?;
        let Some(names) = sections.get(usize::from(u16_at(head, 62))) else {
            return Ok(None);
        };
        let names = u64_at(names, 24);
        for section in &sections {
            let name = self.read(
                names.saturating_add(u32_at(section, 0).into()),
                NOTE_SECTION.len() as u64 + 1,
            );
            let matches =
                name.is_ok_and(|name| name.strip_suffix(&[0]) == Some(NOTE_SECTION.as_bytes()));
            if matches
                && let Some(found) = notes(&self.read(u64_at(section, 24), u64_at(section, 32))?, 4)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn entries(&self, offset: u64, size: u16, count: u16, least: u16) -> Result<Vec<Vec<u8>>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        if count > MAX_HEADERS || size < least || size > 256 {
            return Err(self.bad("odd header table"));
        }
        let table = self.read(offset, u64::from(size) * u64::from(count))?;
        Ok(table
            .chunks_exact(size.into())
            .map(<[u8]>::to_vec)
            .collect())
    }

    fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        if len > MAX_NOTES.max(256 * u64::from(MAX_HEADERS)) {
            return Err(self.bad("a table is too long"));
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| self.bad("a table is too long"))?];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => self.bad("cut short"),
                _ => LoadError::io("read", self.path, error),
            })?;
        Ok(bytes)
    }

    fn bad(&self, why: &'static str) -> LoadError {
        LoadError::NotElf {
            path: self.path.into(),
            why,
        }
    }
}

/// The first note of ours in a run of notes. Each: three words, owner, description; both padded to `align`.
fn notes(mut bytes: &[u8], align: u64) -> Option<Identity> {
    let padded = |len: u32| usize::try_from(u64::from(len).next_multiple_of(align)).ok();
    while bytes.len() >= 12 {
        let (owner_len, desc_len, kind) = (u32_at(bytes, 0), u32_at(bytes, 4), u32_at(bytes, 8));
        let rest = &bytes[12..];
        let owner = rest.get(..usize::try_from(owner_len).ok()?)?;
        let desc = rest.get(padded(owner_len)?..)?;
        let desc = desc.get(..usize::try_from(desc_len).ok()?)?;
        if kind == NOTE_TYPE && owner == NOTE_OWNER {
            return describe(desc);
        }
        bytes = rest.get(padded(owner_len)?.checked_add(padded(desc_len)?)?..)?;
    }
    None
}

fn describe(desc: &[u8]) -> Option<Identity> {
    (desc.len() >= 96).then_some(())?;
    Some(Identity {
        abi_major: u32_at(desc, 0),
        abi_minor: u32_at(desc, 4),
        kind: word(&desc[8..32])?,
        name: word(&desc[32..96])?,
    })
}

/// A padded name: it goes into paths and logs, so only what the interface allows.
fn word(padded: &[u8]) -> Option<String> {
    let end = padded.iter().position(|byte| *byte == 0)?;
    let good = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let word = &padded[..end];
    (!word.is_empty() && word.iter().all(good)).then(|| String::from_utf8_lossy(word).into_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(
        bytes[at..at + 2]
            .try_into()
            .expect("two bytes are two bytes"),
    )
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        bytes[at..at + 4]
            .try_into()
            .expect("four bytes are four bytes"),
    )
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("eight bytes are eight bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(owner: &[u8], desc: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [owner.len() as u32, desc.len() as u32, NOTE_TYPE] {
            bytes.extend(number.to_le_bytes());
        }
        for part in [owner, desc] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn desc(kind: &str, name: &str) -> Vec<u8> {
        let mut desc = vec![0; 96];
        desc[4] = 1;
        desc[8..8 + kind.len()].copy_from_slice(kind.as_bytes());
        desc[32..32 + name.len()].copy_from_slice(name.as_bytes());
        desc
    }

    #[test]
    fn ours_is_found_behind_others() {
        let mut bytes = note(b"GNU\0", &[1; 20]);
        bytes.extend(note(NOTE_OWNER, &desc("volume", "dir")));
        let found = notes(&bytes, 4).unwrap();
        assert_eq!(
            (found.kind.as_str(), found.name.as_str(), found.abi_minor),
            ("volume", "dir", 1)
        );
    }

    #[test]
    fn lengths_that_lie_and_names_that_climb_are_refused() {
        let good = note(NOTE_OWNER, &desc("volume", "dir"));
        for cut in 0..good.len() {
            assert_eq!(notes(&good[..cut], 4), None, "cut at {cut}");
        }
        let mut huge = good.clone();
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(notes(&huge, 4), None);
        assert_eq!(notes(&note(NOTE_OWNER, &desc("volume", "../x")), 4), None);
        assert_eq!(notes(&note(NOTE_OWNER, &desc("", "x")), 4), None);
    }
}
