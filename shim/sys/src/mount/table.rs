//! /proc/PID/mountinfo (proc_pid_mountinfo(5)).

use crate::error::{Error, Result};
use nix::errno::Errno;

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Id of the mount.
    pub id: u64,
    /// Id of the mount it sits on.
    pub parent: u64,
    /// Device of its superblock, as "major:minor".
    pub device: String,
    /// The directory of the superblock that is its root.
    pub root: String,
    /// Where it sits, relative to the reader's root.
    pub target: String,
    /// Options of the mount, comma separated.
    pub options: String,
    /// `shared:N`, `master:N`, …
    pub propagation: Vec<String>,
    /// File system type.
    pub kind: String,
    /// Source, such as a device.
    pub source: String,
    /// Options of the superblock.
    pub super_options: String,
}

/// The mounts the calling process sees.
///
/// # Errors
/// When /proc/self/mountinfo cannot be read.
pub fn table() -> Result<Vec<MountEntry>> {
    read("/proc/self/mountinfo").map(|t| parse_table(&t))
}

/// The id of the mount at `/` as process `pid` sees it ("self" for the caller). Two processes in one mount namespace
/// with one root see the same id; /proc/1/ns/mnt may be unreadable where this is not.
///
/// # Errors
/// When the file cannot be read or has no line for `/`.
pub fn root_mount_id(pid: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/mountinfo");
    let text = read(&path)?;
    let root = parse_table(&text).into_iter().find(|m| m.target == "/");
    root.map(|m| m.id)
        .ok_or_else(|| Error::new(format!("find / in {path}"), Errno::ENOENT))
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::from_io(format!("read {path}"), &e))
}

/// Parses the text of a mountinfo file; lines it does not understand are left out.
#[must_use]
pub fn parse_table(text: &str) -> Vec<MountEntry> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<MountEntry> {
    let (left, right) = line.split_once(" - ")?;
    let mut l = left.split(' ');
    let mut r = right.split(' ');
    Some(MountEntry {
        id: l.next()?.parse().ok()?,
        parent: l.next()?.parse().ok()?,
        device: l.next()?.into(),
        root: unescape(l.next()?),
        target: unescape(l.next()?),
        options: l.next()?.into(),
        propagation: l.map(Into::into).collect(),
        kind: r.next()?.into(),
        source: unescape(r.next()?),
        super_options: r.next().unwrap_or_default().into(),
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let code = bytes
            .get(i + 1..i + 4)
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        match (bytes[i], code) {
            (b'\\', Some(c)) => {
                out.push(c);
                i += 4;
            }
            (b, _) => {
                out.push(b);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed_and_unescaped() {
        let text = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:3 - ext3 /dev/root rw,errors=continue\nbad\n";
        let t = parse_table(text);
        assert_eq!(t.len(), 1);
        assert_eq!(
            (t[0].id, t[0].parent, t[0].target.as_str()),
            (36, 35, "/mnt 2")
        );
        assert_eq!(t[0].propagation, ["master:1", "shared:3"]);
        assert_eq!(
            (t[0].kind.as_str(), t[0].super_options.as_str()),
            ("ext3", "rw,errors=continue")
        );
    }

    #[test]
    fn own_root_is_found() {
        assert_eq!(
            root_mount_id("self").unwrap(),
            root_mount_id(&std::process::id().to_string()).unwrap()
        );
    }
}
