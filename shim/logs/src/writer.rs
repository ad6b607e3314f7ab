//! The supervisor's side: bytes of two streams become whole lines in a file.
//!
//! Never waits for anything but the file system, never syncs log lines.
//!
//! A full disk costs no line. Blocks are taken ahead of the file's end; when no more can be had, [`LogWriter::is_behind`]
//! asks that the process be read no further, and what it left in its pipes has a place there if it ends. Where none were
//! taken (not every file system can do that), what comes is held in memory, bounded, until there is room. Any other
//! error costs whole lines, never the container: they are counted, and the log says in a line of its own how many are
//! missing.

use std::io;
use std::path::{Path, PathBuf};

use crate::aside::same;
use crate::clock;
use crate::file::{LogFile, is_full};
use crate::format::{self, Format, MAX_PIECE, Stream};

mod ahead;
mod held;
mod rotate;

use ahead::Growth;
use held::{Came, Held};

/// Between two looks whether the file is still where it was, and between two tries of a rotation that failed.
const LOOK: i64 = 1_000_000_000;
/// Bytes made into entries at once: short lines grow many times, and nobody needs all of that in memory.
const AT_ONCE: usize = 8 << 10;

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
    /// What came while `out` could not be written.
    held: Held,
    /// Too few blocks are taken ahead, and there are no more.
    starved: bool,
    growth: Growth,
    lost: u64,
    /// Lost since the log last said so.
    untold: u64,
    why: String,
    /// Streams of which nothing will come.
    ended: [bool; 2],
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
    /// Pieces in `out`, and whether the last of them is waiting for the rest of its line.
    queued: usize,
    queued_open: bool,
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
            held: Held::default(),
            starved: false,
            growth: Growth::default(),
            lost: 0,
            untold: 0,
            why: String::new(),
            ended: [false; 2],
            looked: clock::now(),
            tried: 0,
            jobs: rotate::Jobs::default(),
        };
        writer.tidy()?;
        writer.take_ahead();
        Ok(writer)
    }

    /// Takes bytes as the process wrote them, stamped with the time now.
    ///
    /// # Errors
    /// The file system's, but for a full disk, for which lines wait: lines are lost whole, and counted.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.write_at(clock::now(), stream, bytes)
    }

    /// As [`LogWriter::write`] at a given time.
    ///
    /// # Errors
    /// As [`LogWriter::write`].
    pub fn write_at(&mut self, time: i64, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut result = Ok(());
        for part in bytes.chunks(AT_ONCE) {
            if self.is_waiting() {
                self.held.push(time, stream, part);
            } else {
                self.take(time, stream, part);
            }
            result = result.and(self.go_on(time));
        }
        result
    }

    /// Writes what waits for room, as far as there is some.
    ///
    /// # Errors
    /// As [`LogWriter::write`].
    pub fn catch_up(&mut self) -> io::Result<()> {
        self.go_on(clock::now())
    }

    /// Something waits for room on the disk: [`LogWriter::catch_up`] is to be called from time to time.
    pub fn is_waiting(&self) -> bool {
        !self.out.is_empty() || !self.held.is_empty()
    }

    /// There is no room for more, in the file or here: the process is not to be read from, unless it has ended.
    /// [`LogWriter::catch_up`] finds out whether that has changed.
    pub fn is_behind(&self) -> bool {
        self.starved || self.held.is_enough()
    }

    /// The log is left with what waits still: a last try is made, and the rest is lost. Answers how many lines are.
    pub fn give_up(&mut self) -> u64 {
        // An error has told its lines already.
        let _ = self.catch_up();
        let before = self.lost;
        let pieces = std::mem::take(&mut self.pieces);
        self.out = Vec::new();
        for piece in &pieces {
            self.settle(piece, false);
        }
        while let Some(came) = self.held.pop() {
            self.lost += match came {
                Came::Bytes(_, _, bytes) => bytes.iter().filter(|b| **b == b'\n').count() as u64,
                Came::Lost(_, lines) => lines,
                Came::End(stream) => u64::from(!self.lines[stream as usize].rest.is_empty()),
            };
        }
        self.lost - before
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn go_on(&mut self, now: i64) -> io::Result<()> {
        loop {
            self.flush(now)?;
            if !self.out.is_empty() {
                break;
            }
            match self.held.pop() {
                Some(Came::Bytes(time, stream, bytes)) => self.take(time, stream, &bytes),
                Some(Came::End(stream)) => self.take_end(stream),
                Some(Came::Lost(stream, lines)) => self.pass_over(stream, lines),
                None => {
                    if self.untold > 0 && self.ended == [true; 2] {
                        // Nothing will come that could carry the note.
                        self.put(&[], &[], 0).1?;
                    }
                    break;
                }
            }
        }
        self.take_ahead();
        Ok(())
    }

    /// Makes entries of bytes.
    fn take(&mut self, time: i64, stream: Stream, mut bytes: &[u8]) {
        let (read, before) = (bytes.len(), self.out.len());
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
        self.growth.note(read, self.out.len() - before);
    }

    /// Makes the last entry of a stream.
    fn take_end(&mut self, stream: Stream) {
        let rest = std::mem::take(&mut self.lines[stream as usize].rest);
        if !rest.is_empty() {
            self.add(clock::now(), stream, &rest, self.format == Format::Cri);
        }
        self.ended[stream as usize] = true;
    }

    /// Lines that were not even held, the one that was begun among them.
    fn pass_over(&mut self, stream: Stream, lines: u64) {
        let line = &mut self.lines[stream as usize];
        line.rest.clear();
        line.begun = None;
        self.lost += lines;
        self.untold += lines;
        "no space left on the disk, and too much to wait".clone_into(&mut self.why);
    }

    /// A stream has ended: what it left without a newline becomes its last entry. CRI marks it full, as nothing
    /// follows; the others show by the missing newline that none was written.
    ///
    /// # Errors
    /// As [`LogWriter::write`].
    pub fn end(&mut self, stream: Stream) -> io::Result<()> {
        if self.is_waiting() {
            self.held.end(stream);
        } else {
            self.take_end(stream);
        }
        self.go_on(clock::now())
    }

    /// Opens the path anew (somebody has moved the file away); it exists when this returns.
    ///
    /// # Errors
    /// The file system's; the old file is written to as before then.
    pub fn reopen(&mut self) -> io::Result<()> {
        gantry_fault::point("logs.writer.before-reopen").map_err(io::Error::other)?;
        let file = self.take_over(LogFile::open(&self.path)?);
        // Before blocks are taken for the new one: it may be the same file.
        self.file.give_back();
        self.file = file;
        self.size = self.file.metadata()?.len();
        self.take_ahead();
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
        let open = if line.queued > 0 {
            line.queued_open
        } else {
            line.open
        };
        if first && open {
            // Its end was lost; without one the next line would be read as its end.
            self.put_piece(time, stream, b"", true, false);
        }
        self.put_piece(time, stream, text, ended, true);
    }

    fn put_piece(&mut self, time: i64, stream: Stream, text: &[u8], ended: bool, counts: bool) {
        format::write(&mut self.out, self.format, time, stream, text, ended);
        let line = &mut self.lines[stream as usize];
        line.queued += 1;
        line.queued_open = !ended;
        self.pieces.push(Piece {
            end: self.out.len(),
            stream,
            ended,
            counts,
        });
    }

    /// Writes what has been gathered, and begins a new file wherever one is full. What there is no room for stays.
    fn flush(&mut self, now: i64) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        if self.format != Format::Cri {
            // A pod's log is moved by the kubelet, which says when to follow.
            self.look(now);
        }
        let mut out = std::mem::take(&mut self.out);
        let mut pieces = std::mem::take(&mut self.pieces);
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
            let (written, put) = self.put(&out[start..end], &pieces[done..next], start);
            done += written;
            start = done.checked_sub(1).map_or(0, |last| pieces[last].end);
            result = put;
        }
        if result.as_ref().is_err_and(is_full) {
            out.drain(..start);
            pieces.drain(..done);
            for piece in &mut pieces {
                piece.end -= start;
            }
            (self.out, self.pieces) = (out, pieces);
            return Ok(());
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

    /// Takes blocks for what will come; none at all are no reason not to go on, as long as there were none.
    fn take_ahead(&mut self) {
        let taken = self.file.take_ahead(self.size, self.growth.low());
        self.starved = taken.is_err_and(|e| is_full(&e)) && self.file.ahead(self.size) > 0;
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
    /// `start` of its batch. Answers how many pieces are in the file.
    fn put(&mut self, text: &[u8], pieces: &[Piece], start: usize) -> (usize, io::Result<()>) {
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
        let there = |piece: &&Piece| note.len() + piece.end - start <= written;
        let done = pieces.iter().take_while(there).count();
        for piece in &pieces[..done] {
            self.settle(piece, true);
        }
        if let Err(e) = &result
            && !is_full(e)
        {
            self.why = e.to_string();
        }
        (done, result)
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
        line.queued -= 1;
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
                    if metadata.len() < self.size {
                        self.file.was_cut();
                    }
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

    /// Puts the file on another disk.
    #[cfg(test)]
    pub(crate) fn pretend(&mut self, disk: &crate::testing::Disk) {
        self.file.give_back();
        self.file.pretended = disk.clone();
        self.take_ahead();
    }

    #[cfg(not(test))]
    fn take_over(&self, file: LogFile) -> LogFile {
        file
    }

    /// The pretended disk is the same for all files.
    #[cfg(test)]
    fn take_over(&self, mut file: LogFile) -> LogFile {
        file.pretended.clone_from(&self.file.pretended);
        file
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.file.give_back();
    }
}

#[cfg(test)]
mod tests;
