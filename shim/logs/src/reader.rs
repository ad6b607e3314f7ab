//! The doors' side: entries of a log and of the files put aside before it, oldest first.
//!
//! Reads files and never waits: at the end [`LogReader::read_more`] gives nothing, and the door decides when to ask
//! again. A file that is moved away is read to its end before the next one is begun, and is known again after it was
//! compressed.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::aside::{self, same};
use crate::format::{self, Entry, Format};

mod source;
mod tail;

use source::Source;

/// Walks through the folder before one that changes all the time is taken as it is.
const WALKS: u32 = 100;
/// Entries are stamped with a finer clock than files: a file this much older than `since` (in seconds) has none of them.
const SLACK: i64 = 2;

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
    /// Files still to be read before the current one's successor is looked for.
    waiting: VecDeque<Source>,
    current: Option<Source>,
    block: Vec<u8>,
    ended: bool,
}

impl LogReader {
    /// Opens the log at `path` with what was put aside of it. A log that was never written is empty.
    ///
    /// # Errors
    /// The file system's, except "not found".
    pub fn open(path: &Path, format: Format, options: ReadOptions) -> io::Result<Self> {
        let mut files = open_all(path, format)?;
        if let Some(since) = options.since {
            let seconds = since.div_euclid(1_000_000_000) - SLACK;
            let old = |file: &Source| file.metadata().is_ok_and(|m| m.mtime() < seconds);
            // Of files that count for the tail none may be left out: they may not all be older.
            if options.tail.is_none() {
                let keep = files.iter().take_while(|f| old(f)).count();
                files.drain(..keep.min(files.len().saturating_sub(1)));
            }
        }
        if let Some(tail) = options.tail {
            tail::seek(&mut files, tail)?;
        }
        Ok(Self {
            path: path.to_owned(),
            format,
            options,
            waiting: files,
            current: None,
            block: Vec::new(),
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
    /// The file system's; `InvalidData` for a compressed file that is damaged: the rest of it is passed over by the
    /// next call.
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

    /// Reads a block; goes over to the next file where one ends.
    fn fill(&mut self) -> io::Result<bool> {
        loop {
            if self.current.is_none() {
                self.current = match self.waiting.pop_front() {
                    Some(file) => Some(file),
                    None => open_if_there(&self.path)?.map(Source::plain),
                };
            }
            let Some(file) = &mut self.current else {
                return Ok(false);
            };
            match file.read_block(&mut self.block) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(e) => {
                    self.current = None;
                    return Err(e);
                }
            }
            if self.waiting.is_empty() && !self.was_replaced()? {
                return Ok(false);
            }
            // Its writer may have added a line between our read and its rename; after the rename it adds none.
            if let Some(mut file) = self.current.take()
                && file.is_plain()
                && file.read_block(&mut self.block)?
            {
                self.current = Some(file);
                return Ok(true);
            }
        }
    }

    /// Whether the path leads elsewhere by now, and if so queues the files between; a truncated file is begun anew.
    fn was_replaced(&mut self) -> io::Result<bool> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        let own = current.metadata()?;
        let there = match std::fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        if current.is_plain() && same(&own, &there) {
            current.begin_anew_if_shorter(own.len());
            return Ok(false);
        }
        let own = current.identity()?;
        let mut files = open_all(&self.path, self.format)?;
        // Files older than ours have been given out; when ours is gone altogether, all that is there is newer.
        let mut place = None;
        for (number, file) in files.iter_mut().enumerate() {
            // One that cannot be told from others is read, and its damage told then.
            let other = file.identity().ok().flatten();
            if other.is_some() && other == own {
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
        for line in self.block.split_inclusive(|b| *b == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
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
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Every file of the log, oldest first. The writer does not change numbers while the folder is locked; compressed files
/// may take the place of plain ones, and then the walk is done again.
fn open_all(path: &Path, format: Format) -> io::Result<VecDeque<Source>> {
    let mut files = VecDeque::new();
    if format == Format::Cri {
        // What the kubelet has moved away it reads by itself.
        files.extend(open_if_there(path)?.map(Source::plain));
        return Ok(files);
    }
    let Some(lock) = open_if_there(aside::folder(path))? else {
        return Ok(files);
    };
    lock.lock_shared()?;
    for _ in 0..WALKS {
        files.clear();
        let mut changed = false;
        let mut last = 0;
        for aside in aside::list(path)? {
            if aside.number == last {
                // Compressed, but the plain one is not removed yet: it is the same.
                continue;
            }
            last = aside.number;
            match open_if_there(&aside.path(path))? {
                Some(file) if aside.gz => files.push_front(Source::gz(file)),
                Some(file) => files.push_front(Source::plain(file)),
                None => changed = true,
            }
        }
        if !changed {
            break;
        }
    }
    files.extend(open_if_there(path)?.map(Source::plain));
    Ok(files)
}

#[cfg(test)]
mod tests;
