//! The last lines of a log.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::source::{CHUNK, Source};

/// Places the files so that `tail` lines are left to be read, the last ones.
pub(super) fn seek(files: &mut VecDeque<Source>, tail: u64) -> io::Result<()> {
    let mut left = tail;
    let mut later = VecDeque::new();
    while let Some(mut file) = files.pop_back() {
        if let Source::Plain { file: plain, .. } = &file {
            let (start, lines) = last_lines(plain, left)?;
            file.set_start(start);
            left -= lines;
        } else {
            // A damaged file is told of when it is read.
            let there = file.count_lines().unwrap_or(0);
            file = file.rewind()?;
            file.skip_lines(there.saturating_sub(left))?;
            left -= there.min(left);
        }
        later.push_front(file);
        if left == 0 {
            break;
        }
    }
    *files = later;
    Ok(())
}

/// Where the last `want` lines of a file begin, and how many there are. What follows the last newline is no line yet.
fn last_lines(file: &File, want: u64) -> io::Result<(u64, u64)> {
    let mut end = file.metadata()?.len();
    let mut seen = 0;
    let mut buffer = vec![0; CHUNK];
    let mut any = false;
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let part = &mut buffer[..usize::try_from(end - start).unwrap_or(CHUNK)];
        match file.read_exact_at(part, start) {
            // Truncated meanwhile: there is nothing older than what comes.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok((0, seen)),
            other => other?,
        }
        for place in (0..part.len()).rev().filter(|p| part[*p] == b'\n') {
            // The first newline seen ends the last line; each further one ends the line before those counted.
            if any {
                seen += 1;
            }
            any = true;
            if seen == want {
                return Ok((start + place as u64 + 1, seen));
            }
        }
        end = start;
    }
    Ok((0, if any { seen + 1 } else { 0 }))
}
