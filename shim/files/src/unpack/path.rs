//! Paths of an archive, brought into one form before anything looks at them.

use crate::error::{Error, Result, show};
use crate::limits::Limits;

/// Longest name of one file (`NAME_MAX`).
const NAME: usize = 255;

/// The path without leading slash, empty and `.` parts: relative, one slash between parts, empty for the root.
///
/// `..` is refused rather than resolved: no honest writer produces it, and beneath a symlink it would mean two things.
pub(super) fn clean(path: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    if path.len() > limits.path {
        return Err(Error::Limit(format!(
            "path of {} bytes, at most {} are taken",
            path.len(),
            limits.path
        )));
    }
    let mut clean = Vec::with_capacity(path.len());
    let mut depth = 0;
    for part in path
        .split(|b| *b == b'/')
        .filter(|p| !p.is_empty() && *p != b".")
    {
        if part == b".." {
            return Err(Error::Archive(format!(
                "entry {}: path with ..",
                show(path)
            )));
        }
        if part.contains(&0) {
            return Err(Error::Archive(format!(
                "entry {}: path with a zero byte",
                show(path)
            )));
        }
        depth += 1;
        if depth > limits.depth || part.len() > NAME {
            return Err(Error::Limit(format!(
                "entry {}: path too deep or a name too long",
                show(path)
            )));
        }
        if !clean.is_empty() {
            clean.push(b'/');
        }
        clean.extend_from_slice(part);
    }
    Ok(clean)
}

/// Parent (empty for the root) and name; none for the root itself.
pub(super) fn split(clean: &[u8]) -> Option<(&[u8], &[u8])> {
    if clean.is_empty() {
        return None;
    }
    Some(match clean.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&clean[..slash], &clean[slash + 1..]),
        None => (b"", clean),
    })
}

/// Parent (empty for the root) and name in one path.
pub(super) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = parent.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
