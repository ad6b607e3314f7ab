//! The supervisor's side: bytes of two streams become whole lines in a file.
//!
//! Never waits for anything but the file system, never syncs log lines, never holds more than one piece per stream.
//! A disk that is full costs whole lines, never the container: they are counted, and once there is room the log says in
//! a line of its own how many are missing.

use std::io;
use std::path::{Path, PathBuf};

use crate::aside::same;
use crate::clock;
use crate::file::LogFile;
use crate::format::{self, Format, MAX_PIECE, Stream};

mod rotate;

/// Between two looks whether the file is still where it was, and between two tries of a rotation that failed.
const LOOK: i64 = 1_000_000_000;

/// When a file is put aside and a new one begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// At so many bytes; 0 never.
    pub max_size: u64,
    /// How many files are kept, the current one included; 0 counts as 1.
    pub max_files: u32,
    /// Files put aside are compressed: see [`LogWriter::next_job`].
    pub compress: bool,
}

/// A log being written.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    format: Format,
    rotation: Rotation,
    file: LogFile,
    size: u64,
    lines: [Line; 2],
    out: Vec<u8>,
    /// What is in `out`.
    pieces: Vec<Piece>,
    lost: u64,
    /// Lost since the log last said so.
    untold: u64,
    why: String,
    looked: i64,
    tried: i64,
    jobs: rotate::Jobs,
}

/// One stream's line in progress.
#[derive(Debug, Default)]
struct Line {
    /// What came after the last newline.
    rest: Vec<u8>,
    /// When its first piece came: all pieces of a line bear one time.
    begun: Option<i64>,
    /// The last piece in the file is waiting for the rest of its line.
    open: bool,
    /// What ends the line is in `out`.
    closing: bool,
    /// A piece was lost, and what is left of the line goes with it.
    skip: bool,
}

#[derive(Debug)]
struct Piece {
    /// Where it ends in `out`.
    end: usize,
    stream: Stream,
    ended: bool,
    /// The process wrote it, not we.
    counts: bool,
}

impl LogWriter {
    /// Opens the file for appending, making it (0640) if need be. What a writer before this one left undone when it
    /// died (half a line, half a rotation, half a compressed file) is put right.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path, format: Format, rotation: Rotation) -> io::Result<Self> {
        gantry_fault::point("logs.writer.before-open").map_err(io::Error::other)?;
        let file = LogFile::open(path)?;
        gantry_fault::pass("logs.writer.after-open");
        let mut writer = Self {
            path: path.to_owned(),
            format,
            rotation,
            size: file.metadata()?.len(),
            file,
            lines: <[Line; 2]>::default(),
            out: Vec::new(),
            pieces: Vec::new(),
            lost: 0,
            untold: 0,
            why: String::new(),
            looked: clock::now(),
            tried: 0,
            jobs: rotate::Jobs::default(),
        };
        writer.tidy()?;
        Ok(writer)
    }

    /// Takes bytes as the process wrote them, stamped with the time now.
    ///
    /// # Errors
    /// The file system's: lines there was no room for are lost whole, and counted.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.write_at(clock::now(), stream, bytes)
    }

    /// As [`LogWriter::write`] at a given time.
    ///
    /// # Errors
    /// As [`LogWriter::write`].
    pub fn write_at(&mut self, time: i64, stream: Stream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let held = self.lines[stream as usize].rest.len();
            let line = bytes.iter().position(|b| *b == b'\n');
            let take = line.unwrap_or(bytes.len()).min(MAX_PIECE - held);
            let ended = line == Some(take);
            // A full piece waits for what follows it: a line of exactly this length stays one entry.
            let full = take == 0 || held + take == MAX_PIECE && take < bytes.len();
            if held == 0 && (ended || full) {
                self.add(time, stream, &bytes[..take], ended);
            } else {
                let mut rest = std::mem::take(&mut self.lines[stream as usize].rest);
                rest.extend_from_slice(&bytes[..take]);
                if ended || full {
                    self.add(time, stream, &rest, ended);
                    rest.clear();
                }
                self.lines[stream as usize].rest = rest;
            }
            bytes = &bytes[take + usize::from(ended)..];
        }
        self.flush(time)
    }

    /// A stream has ended: what it left without a newline becomes its last entry. CRI marks it full, as nothing
    /// follows; the others show by the missing newline that none was written.
    ///
    /// # Errors
    /// As [`LogWriter::write`].
    pub fn end(&mut self, stream: Stream) -> io::Result<()> {
        let now = clock::now();
        let rest = std::mem::take(&mut self.lines[stream as usize].rest);
        if !rest.is_empty() {
            self.add(now, stream, &rest, self.format == Format::Cri);
        }
        let result = self.flush(now);
        if self.untold > 0 && result.is_ok() {
            // Nothing will come that could carry the note.
            return self.put(&[], &[], 0);
        }
        result
    }

    /// Opens the path anew (somebody has moved the file away); it exists when this returns.
    ///
    /// # Errors
    /// The file system's; the old file is written to as before then.
    pub fn reopen(&mut self) -> io::Result<()> {
        gantry_fault::point("logs.writer.before-reopen").map_err(io::Error::other)?;
        self.file = self.take_over(LogFile::open(&self.path)?);
        self.size = self.file.metadata()?.len();
        gantry_fault::pass("logs.writer.after-reopen");
        Ok(())
    }

    /// Lines (and pieces of long ones) that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Makes an entry. After a piece was lost the rest of its line is lost as well: the end of a line would look like
    /// one of its own.
    fn add(&mut self, time: i64, stream: Stream, text: &[u8], ended: bool) {
        let line = &mut self.lines[stream as usize];
        let first = line.begun.is_none();
        let time = *line.begun.get_or_insert(time);
        if ended {
            line.begun = None;
        }
        if line.skip {
            line.skip = !ended;
            self.lost += 1;
            self.untold += 1;
            return;
        }
        if first && line.open && !line.closing {
            // Its end was lost; without one the next line would be read as its end.
            self.put_piece(time, stream, b"", true, false);
        }
        self.put_piece(time, stream, text, ended, true);
    }

    fn put_piece(&mut self, time: i64, stream: Stream, text: &[u8], ended: bool, counts: bool) {
        format::write(&mut self.out, self.format, time, stream, text, ended);
        self.lines[stream as usize].closing |= ended;
        self.pieces.push(Piece {
            end: self.out.len(),
            stream,
            ended,
            counts,
        });
    }

    /// Writes what has been gathered, and begins a new file wherever one is full.
    fn flush(&mut self, now: i64) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        if self.format != Format::Cri {
            // A pod's log is moved by the kubelet, which says when to follow.
            self.look(now);
        }
        let out = std::mem::take(&mut self.out);
        let pieces = std::mem::take(&mut self.pieces);
        let (mut done, mut start, mut result) = (0, 0, Ok(()));
        while done < pieces.len() && result.is_ok() {
            let room = self.room(now);
            let fits = pieces[done..]
                .iter()
                .take_while(|p| ((p.end - start) as u64) < room)
                .count();
            // The one that fills it is the last one in it.
            let next = (done + fits + 1).min(pieces.len());
            let end = pieces[next - 1].end;
            result = self.put(&out[start..end], &pieces[done..next], start);
            (done, start) = (next, end);
        }
        // What comes after a piece that was lost was made to follow it.
        for piece in &pieces[done..] {
            self.settle(piece, false);
        }
        if out.capacity() <= 4 * MAX_PIECE {
            (self.out, self.pieces) = (out, pieces);
            self.out.clear();
            self.pieces.clear();
        }
        result
    }

    /// Bytes until the file is full; a full one is put aside first, if that can be done.
    fn room(&mut self, now: i64) -> u64 {
        let max = self.rotation.max_size;
        if max == 0 {
            return u64::MAX;
        }
        if self.size >= max && self.size > 0 && (now - self.tried).abs() >= LOOK {
            // A rotation that fails costs no line: the file grows on, and it is tried again later.
            self.tried = match self.rotate() {
                Ok(true) => 0,
                // Somebody reads the numbers just now.
                Ok(false) => self.tried,
                Err(_) => now,
            };
        }
        match max.saturating_sub(self.size) {
            0 => u64::MAX,
            room => room,
        }
    }

    /// Writes the note of what was lost, if there is one to write, and then these pieces, the first of which begins at
    /// `start` of its batch.
    fn put(&mut self, text: &[u8], pieces: &[Piece], start: usize) -> io::Result<()> {
        let note = self.note();
        let (written, result) = if note.is_empty() {
            self.file.append(text)
        } else {
            self.file.append(&[&note, text].concat())
        };
        self.size += written as u64;
        if !note.is_empty() && written >= note.len() {
            self.untold = 0;
        }
        for piece in pieces {
            self.settle(piece, note.len() + piece.end - start <= written);
        }
        if let Err(e) = &result {
            self.why = e.to_string();
        }
        result
    }

    /// What the log says of the lines that are missing in it.
    fn note(&self) -> Vec<u8> {
        let mut note = Vec::new();
        // Pieces wait for what follows them on their stream: the note must not come between.
        let mut streams = Stream::BOTH.into_iter().rev();
        let stream = streams.find(|s| !self.lines[*s as usize].open);
        if let (Some(stream), true) = (stream, self.untold > 0) {
            let text = format!(
                "gantry: {} lines of this log were lost: {}",
                self.untold, self.why
            );
            format::write(
                &mut note,
                self.format,
                clock::now(),
                stream,
                text.as_bytes(),
                true,
            );
        }
        note
    }

    /// A piece is in the file, or lost.
    fn settle(&mut self, piece: &Piece, written: bool) {
        let line = &mut self.lines[piece.stream as usize];
        line.closing = false;
        if written {
            line.open = !piece.ended;
        } else if piece.counts {
            self.lost += 1;
            self.untold += 1;
            line.skip = !piece.ended;
        }
    }

    /// Follows the file once a second when somebody else moved or removed it, and believes its real size.
    fn look(&mut self, now: i64) {
        if (now - self.looked).abs() < LOOK {
            return;
        }
        self.looked = now;
        match self.is_in_place() {
            // Written to where it is until the path can be had.
            Ok(false) => drop(self.reopen()),
            _ => {
                if let Ok(metadata) = self.file.metadata() {
                    self.size = metadata.len();
                }
            }
        }
    }

    /// Whether the path still leads to the file that is written to.
    fn is_in_place(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) => Ok(same(&own, &there)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Lets the disk be full after so many bytes.
    #[cfg(test)]
    pub(crate) fn pretend_room(&mut self, room: &std::rc::Rc<std::cell::Cell<usize>>) {
        self.file.room = Some(room.clone());
    }

    #[cfg(not(test))]
    fn take_over(&self, file: LogFile) -> LogFile {
        file
    }

    /// The pretended disk is the same for all files.
    #[cfg(test)]
    fn take_over(&self, mut file: LogFile) -> LogFile {
        file.room.clone_from(&self.file.room);
        file
    }
}

#[cfg(test)]
mod tests;
