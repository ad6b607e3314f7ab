//! The doors' side: entries of a log and of the files put aside before it, oldest first.
//!
//! Reads files and never waits: at the end [`LogReader::read_more`] gives nothing, and the door decides when to ask
//! again. A file that is moved away is read to its end before the next one is begun.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::format::{self, Entry, Format};
use crate::writer::numbered;

/// Most files put aside that are looked for.
const MAX_ASIDE: u32 = 1000;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// Longest line of a file: a piece of 16 KiB, each byte escaped to six, and its frame. What is longer is passed over.
const MAX_LINE: usize = 1 << 20;

/// What of a log is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Only entries at or after this time (nanoseconds since 1970).
    pub since: Option<i64>,
    /// Only entries before or at this time; the reader ends at the first later one.
    pub until: Option<i64>,
    /// Only the last so many entries of what is there when the log is opened.
    pub tail: Option<u64>,
}

/// A log being read.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    format: Format,
    options: ReadOptions,
    /// Files still to be read before the current one's successor is looked for by its inode.
    waiting: VecDeque<File>,
    current: Option<File>,
    rest: Vec<u8>,
    skipping: bool,
    ended: bool,
}

impl LogReader {
    /// Opens the log at `path` with what was put aside of it. A log that was never written is empty.
    ///
    /// # Errors
    /// The file system's, except "not found".
    pub fn open(path: &Path, format: Format, options: ReadOptions) -> io::Result<Self> {
        let mut files = open_all(path)?;
        if let Some(tail) = options.tail {
            seek_tail(&mut files, tail)?;
        }
        Ok(Self {
            path: path.to_owned(),
            format,
            options,
            waiting: files,
            current: None,
            rest: Vec::new(),
            skipping: false,
            ended: false,
        })
    }

    /// `until` has been passed: nothing more will come.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next entries, some 64 KiB of the file at most; none at its end for now. Ask again when the file has grown or
    /// was replaced; after the container's end, read until there is none.
    ///
    /// # Errors
    /// The file system's.
    pub fn read_more(&mut self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        while entries.is_empty() && !self.ended {
            if !self.fill()? {
                break;
            }
            self.parse(&mut entries);
        }
        Ok(entries)
    }

    /// Reads a chunk; goes over to the next file where one ends.
    fn fill(&mut self) -> io::Result<bool> {
        loop {
            if self.current.is_none() {
                self.current = match self.waiting.pop_front() {
                    Some(file) => Some(file),
                    None => open_if_there(&self.path)?,
                };
                self.rest.clear();
                self.skipping = false;
            }
            let Some(file) = &mut self.current else {
                return Ok(false);
            };
            if read_chunk(file, &mut self.rest)? {
                return Ok(true);
            }
            if self.waiting.is_empty() && !self.was_replaced()? {
                return Ok(false);
            }
            // Its writer may have added a line between our read and its rename; after the rename it adds none.
            let Some(file) = &mut self.current else {
                return Ok(false);
            };
            if read_chunk(file, &mut self.rest)? {
                return Ok(true);
            }
            self.current = None;
        }
    }

    /// Whether the path leads elsewhere by now, and if so queues the files between; a truncated file is begun anew.
    fn was_replaced(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.current else {
            return Ok(false);
        };
        let own = file.metadata()?;
        let there = match std::fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        if same(&own, &there) {
            if own.len() < file.stream_position()? {
                file.seek(SeekFrom::Start(0))?;
                self.rest.clear();
            }
            return Ok(false);
        }
        let mut files = open_all(&self.path)?;
        // Files older than ours have been given out; when ours is gone altogether, all that is there is newer.
        let mut place = None;
        for (number, file) in files.iter().enumerate() {
            if same(&own, &file.metadata()?) {
                place = Some(number);
            }
        }
        if let Some(place) = place {
            files.drain(..=place);
        }
        self.waiting = files;
        Ok(!self.waiting.is_empty())
    }

    fn parse(&mut self, entries: &mut Vec<Entry>) {
        let mut start = 0;
        while let Some(len) = self.rest[start..].iter().position(|b| *b == b'\n') {
            let line = &self.rest[start..start + len];
            start += len + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let Some(entry) = format::read(self.format, line) else {
                continue;
            };
            if self.options.until.is_some_and(|until| entry.time > until) {
                self.ended = true;
                break;
            }
            if self.options.since.is_none_or(|since| entry.time >= since) {
                entries.push(entry);
            }
        }
        self.rest.drain(..start);
        if self.rest.len() > MAX_LINE {
            self.rest.clear();
            self.skipping = true;
        }
    }
}

fn same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn read_chunk(file: &mut File, into: &mut Vec<u8>) -> io::Result<bool> {
    Ok(file.take(CHUNK as u64).read_to_end(into)? > 0)
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Every file of the log, oldest first. A rotation in between would show one file twice or not at all, so the newest is
/// opened first and last and the walk done again when it changed.
fn open_all(path: &Path) -> io::Result<VecDeque<File>> {
    loop {
        let mut files = VecDeque::new();
        let newest = open_if_there(path)?;
        for number in 1..MAX_ASIDE {
            match open_if_there(&numbered(path, number))? {
                Some(file) => files.push_front(file),
                None => break,
            }
        }
        let Some(newest) = newest else {
            return Ok(files);
        };
        let own = newest.metadata()?;
        files.push_back(newest);
        match std::fs::metadata(path) {
            Ok(there) if !same(&own, &there) => {}
            _ => return Ok(files),
        }
    }
}

/// Places the files so that `tail` lines are left to be read, the last ones.
fn seek_tail(files: &mut VecDeque<File>, tail: u64) -> io::Result<()> {
    let mut left = tail;
    let mut keep = files.len();
    while keep > 0 {
        keep -= 1;
        let file = &mut files[keep];
        let (place, lines) = last_lines(file, left)?;
        file.seek(SeekFrom::Start(place))?;
        left -= lines;
        if left == 0 {
            break;
        }
    }
    files.drain(..keep);
    Ok(())
}

/// Where the last `want` lines of a file begin, and how many there are. What follows the last newline is no line yet.
fn last_lines(file: &mut File, want: u64) -> io::Result<(u64, u64)> {
    let mut end = file.metadata()?.len();
    let mut seen = 0;
    let mut buffer = vec![0; CHUNK];
    let mut last_newline = None;
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let len = usize::try_from(end - start).unwrap_or(CHUNK);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut buffer[..len])?;
        for place in (0..len).rev().filter(|p| buffer[*p] == b'\n') {
            let after = start + place as u64 + 1;
            last_newline.get_or_insert(after);
            // This newline ends the line before the one counted last.
            if seen == want {
                return Ok((after, seen));
            }
            seen += 1;
        }
        end = start;
    }
    match last_newline {
        None if want == 0 => Ok((file.metadata()?.len(), 0)),
        _ => Ok((0, seen)),
    }
}

#[cfg(test)]
mod tests;
