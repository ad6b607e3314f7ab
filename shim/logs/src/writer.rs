//! The supervisor's side: bytes of two streams become whole lines in a file.
//!
//! Never waits for anything but the file system, never syncs, never holds more than one piece per stream.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::clock;
use crate::format::{self, Format, MAX_PIECE, Stream};

/// When a file is put aside and a new one begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// At so many bytes; 0 never.
    pub max_size: u64,
    /// How many files are kept, the current one included; 0 counts as 1.
    pub max_files: u32,
}

/// A log being written.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    format: Format,
    rotation: Rotation,
    file: File,
    size: u64,
    /// What came after the last newline, per stream.
    rest: [Vec<u8>; 2],
    out: Vec<u8>,
    lost: u64,
}

impl LogWriter {
    /// Opens the file for appending, making it (0640) if need be.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path, format: Format, rotation: Rotation) -> io::Result<Self> {
        let (file, size) = open(path)?;
        Ok(Self {
            path: path.to_owned(),
            format,
            rotation,
            file,
            size,
            rest: [Vec::new(), Vec::new()],
            out: Vec::new(),
            lost: 0,
        })
    }

    /// Takes bytes as the process wrote them, stamped with the time now.
    ///
    /// # Errors
    /// The file system's: then none of the lines of this call is in the file, and they are counted as lost.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.write_at(clock::now(), stream, bytes)
    }

    /// As [`LogWriter::write`] at a given time.
    ///
    /// # Errors
    /// As [`LogWriter::write`].
    pub fn write_at(&mut self, time: i64, stream: Stream, mut bytes: &[u8]) -> io::Result<()> {
        let rest = &mut self.rest[stream as usize];
        while !bytes.is_empty() {
            let line = bytes.iter().position(|b| *b == b'\n');
            let take = line.unwrap_or(bytes.len()).min(MAX_PIECE - rest.len());
            let ended = line == Some(take);
            // A full piece waits for what follows it: a line of exactly this length stays one entry.
            let full = take == 0 || rest.len() + take == MAX_PIECE && take < bytes.len();
            if rest.is_empty() && (ended || full) {
                format::write(
                    &mut self.out,
                    self.format,
                    time,
                    stream,
                    &bytes[..take],
                    ended,
                );
            } else {
                rest.extend_from_slice(&bytes[..take]);
                if ended || full {
                    format::write(&mut self.out, self.format, time, stream, rest, ended);
                    rest.clear();
                }
            }
            bytes = &bytes[take + usize::from(ended)..];
        }
        self.flush()
    }

    /// A stream has ended: what it left without a newline becomes its last entry. CRI marks it full, as nothing
    /// follows; json-file shows by the missing newline that none was written.
    ///
    /// # Errors
    /// As [`LogWriter::write`].
    pub fn end(&mut self, stream: Stream) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest[stream as usize]);
        if !rest.is_empty() {
            let ended = self.format == Format::Cri;
            format::write(
                &mut self.out,
                self.format,
                clock::now(),
                stream,
                &rest,
                ended,
            );
        }
        self.flush()
    }

    /// Opens the path anew (somebody has moved the file away); it exists when this returns.
    ///
    /// # Errors
    /// The file system's; the old file is written to as before then.
    pub fn reopen(&mut self) -> io::Result<()> {
        let (file, size) = open(&self.path)?;
        self.file = file;
        self.size = size;
        Ok(())
    }

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        if self.rotation.max_size > 0 && self.size > 0 && self.size >= self.rotation.max_size {
            self.rotate()?;
        }
        let result = self.file.write_all(&self.out);
        match &result {
            Ok(()) => self.size += self.out.len() as u64,
            Err(_) => {
                self.lost += self.out.iter().filter(|b| **b == b'\n').count() as u64;
                // A torn line would swallow the next one. If even this fails, a reader passes over the torn line.
                let _ = self.file.set_len(self.size);
            }
        }
        self.out.clear();
        if self.out.capacity() > 4 * MAX_PIECE {
            self.out.shrink_to(MAX_PIECE);
        }
        result
    }

    /// `path` becomes `path.1`, `path.1` becomes `path.2`, the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        let keep = self.rotation.max_files.max(1);
        if keep == 1 {
            // Docker begins the one file anew.
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        for number in (1..keep - 1).rev() {
            rename_if_there(
                &numbered(&self.path, number),
                &numbered(&self.path, number + 1),
            )?;
        }
        rename_if_there(&self.path, &numbered(&self.path, 1))?;
        self.reopen()
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The path of the `number`th file put aside.
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
