//! One entry of an archive with all its headers merged: PAX wins over GNU, GNU over the plain header.

use super::pax::{self, Pax};
use super::sparse::{self, Segment};
use crate::error::{Error, Result, show};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Regular file.
    File,
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Another name of an earlier entry.
    Hardlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Named pipe.
    Fifo,
}

/// A point in time since 1970, as utimensat(2) takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds, possibly negative.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

/// An entry. Paths are the archive's bytes, unchecked.
#[derive(Debug)]
pub struct Entry {
    /// Path as the archive has it.
    pub path: Vec<u8>,
    /// Target of a symbolic or hard link.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last modification.
    pub mtime: Time,
    /// Last access, where the archive has it.
    pub atime: Option<Time>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes: name and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Size of the file with its holes.
    pub file_size: u64,
    /// For a sparse file, where the content goes.
    pub segments: Option<Vec<Segment>>,
    /// Bytes in the archive.
    pub(super) size: u64,
    pub(super) sparse_map_in_content: bool,
}

impl Entry {
    pub(super) fn new(
        h: &tar::Header,
        pax: Pax,
        name: Option<Vec<u8>>,
        link: Option<Vec<u8>>,
    ) -> Result<Self> {
        let path = pax
            .sparse_name
            .or(pax.path)
            .or(name)
            .unwrap_or_else(|| h.path_bytes().into_owned());
        let at = |what: &str| Error::Archive(format!("entry {}: malformed {what}", show(&path)));
        let kind = kind(h, &path)?;
        let link = pax
            .link
            .or(link)
            .or_else(|| h.link_name_bytes().map(|l| l.into_owned()))
            .unwrap_or_default();
        let owner = |pax: Option<u64>, plain: std::io::Result<u64>, what: &str| {
            // (uid_t)-1 means "leave it" to chown(2): as good as out of range.
            let id = pax
                .map_or(plain, Ok)
                .ok()
                .and_then(|id| u32::try_from(id).ok());
            id.filter(|id| *id != u32::MAX).ok_or_else(|| at(what))
        };
        let size = match kind {
            EntryKind::File => pax.size.map_or_else(|| size(h), Ok)?,
            // Some writers give links and directories a size; no content follows, says Go's reader, which wrote most.
            _ => 0,
        };
        let gnu_real = (h.entry_type().as_byte() == b'S')
            .then(|| h.as_gnu().map(|g| g.real_size()))
            .flatten();
        let real = gnu_real.transpose().map_err(|_| at("size"))?;
        let device = match kind {
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                let number =
                    |n: std::io::Result<Option<u32>>| n.ok().flatten().ok_or_else(|| at("device"));
                (number(h.device_major())?, number(h.device_minor())?)
            }
            _ => (0, 0),
        };
        Ok(Self {
            mode: blank(&h.as_old().mode, h.mode()).map_err(|_| at("mode"))? & 0o7777,
            uid: owner(pax.uid, blank(&h.as_old().uid, h.uid()), "owner")?,
            gid: owner(pax.gid, blank(&h.as_old().gid, h.gid()), "group")?,
            mtime: match pax.mtime {
                Some(t) => time(&t).ok_or_else(|| at("time"))?,
                None => Time {
                    seconds: h
                        .mtime()
                        .ok()
                        .and_then(|s| i64::try_from(s).ok())
                        .unwrap_or(0),
                    nanos: 0,
                },
            },
            atime: pax
                .atime
                .map(|t| time(&t).ok_or_else(|| at("time")))
                .transpose()?,
            device,
            xattrs: pax.xattrs,
            file_size: pax.sparse_size.or(real).unwrap_or(size),
            segments: pax
                .sparse_map
                .map(|m| sparse::from_record(&m))
                .transpose()?,
            sparse_map_in_content: pax.sparse_major == Some(1),
            size,
            path,
            link,
            kind,
        })
    }
}

fn kind(h: &tar::Header, path: &[u8]) -> Result<EntryKind> {
    Ok(match h.entry_type().as_byte() {
        // Writers older than ustar mark a directory by the slash at its end.
        b'0' | 0 if path.ends_with(b"/") => EntryKind::Dir,
        b'0' | 0 | b'7' | b'S' => EntryKind::File,
        b'1' => EntryKind::Hardlink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::CharDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Dir,
        b'6' => EntryKind::Fifo,
        other => {
            return Err(Error::Archive(format!(
                "entry {}: unknown type {:?}",
                show(path),
                char::from(other)
            )));
        }
    })
}

/// A field that was never written is zero, as every reader takes it.
fn blank<N: From<u8>>(field: &[u8], number: std::io::Result<N>) -> std::io::Result<N> {
    if field.iter().all(|b| matches!(b, 0 | b' ')) {
        Ok(N::from(0))
    } else {
        number
    }
}

pub(super) fn size(h: &tar::Header) -> Result<u64> {
    h.entry_size()
        .map_err(|_| Error::Archive(format!("entry {}: malformed size", show(&h.path_bytes()))))
}

/// The sum over the header with its own field as spaces. A mismatch means that this is no header at all.
pub(super) fn verify_checksum(h: &tar::Header) -> Result<()> {
    let bytes = h.as_bytes();
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(i, b)| {
            if (148..156).contains(&i) {
                32
            } else {
                u32::from(*b)
            }
        })
        .sum();
    match h.cksum() {
        Ok(stored) if stored == sum => Ok(()),
        _ => Err(Error::Archive(
            "no tar archive, or a damaged one: wrong checksum of a header".into(),
        )),
    }
}

/// `[-]seconds[.fraction]`.
fn time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(9)
        .collect();
    let nanos = u32::try_from(pax::number(digits.as_bytes()).ok()?).ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some(Time {
            seconds: seconds.checked_sub(1)?,
            nanos: 1_000_000_000 - nanos,
        });
    }
    Some(Time { seconds, nanos })
}
