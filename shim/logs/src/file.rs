//! The file a log is written to: only whole lines are left in it, whatever fails.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes looked at at once for the last newline.
const CHUNK: usize = 4 << 10;

/// A file opened for appending lines.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: File,
    /// Devices and pipes have no end to cut.
    regular: bool,
    /// A line without its end may be the last thing in it.
    torn: bool,
    /// Bytes left on a disk that a test pretends.
    #[cfg(test)]
    pub(crate) room: Option<std::rc::Rc<std::cell::Cell<usize>>>,
}

impl LogFile {
    /// Opens or makes it (0640), and cuts off what a writer that died in the middle of a line left.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, OpenOptions::new().create(true))
    }

    /// Makes a new one in place of what is there.
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        crate::aside::remove_if_there(path)?;
        Self::open_with(path, OpenOptions::new().create_new(true))
    }

    fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<Self> {
        let file = options.read(true).append(true).mode(0o640).open(path)?;
        let regular = file.metadata()?.is_file();
        let mut file = Self {
            file,
            regular,
            torn: regular,
            #[cfg(test)]
            room: None,
        };
        file.mend()?;
        Ok(file)
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    pub(crate) fn into_inner(self) -> File {
        self.file
    }

    /// Adds lines (`bytes` ends in a newline). What is told is how many of its bytes are in the file for good: all, or
    /// on an error as many whole lines as there was room for.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        if self.torn
            && let Err(e) = self.mend()
        {
            return (0, Err(e));
        }
        let mut written = 0;
        while written < bytes.len() {
            if written > 0 && gantry_fault::point("logs.file.mid-write").is_err() {
                return self.fail(bytes, written, io::ErrorKind::StorageFull.into());
            }
            match self.write(&bytes[written..]) {
                Ok(0) => return self.fail(bytes, written, io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return self.fail(bytes, written, e),
            }
        }
        (written, Ok(()))
    }

    fn fail(&mut self, bytes: &[u8], written: usize, error: io::Error) -> (usize, io::Result<()>) {
        let whole = bytes[..written]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |place| place + 1);
        self.torn = self.regular && whole < written;
        // When even the cut fails, nothing is written before one succeeds: the next line would go on the torn one.
        let _ = self.mend();
        (whole, Err(error))
    }

    /// Cuts off what follows the last newline.
    fn mend(&mut self) -> io::Result<()> {
        if !self.torn {
            return Ok(());
        }
        let len = self.file.metadata()?.len();
        let mut buffer = [0; CHUNK];
        let mut end = len;
        let mut keep = 0;
        while end > 0 {
            let start = end.saturating_sub(CHUNK as u64);
            let part = &mut buffer[..usize::try_from(end - start).unwrap_or(CHUNK)];
            self.file.read_exact_at(part, start)?;
            if let Some(place) = part.iter().rposition(|b| *b == b'\n') {
                keep = start + place as u64 + 1;
                break;
            }
            end = start;
        }
        if keep < len {
            gantry_fault::point("logs.file.before-cut").map_err(io::Error::other)?;
            self.file.set_len(keep)?;
            gantry_fault::pass("logs.file.after-cut");
        }
        self.torn = false;
        Ok(())
    }

    #[cfg(not(test))]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if gantry_fault::point("logs.file.before-write").is_err() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // A build with fault points writes in pieces: a death or a full disk between them tears a line.
        let piece = match gantry_fault::instead("GANTRY_FAULTS") {
            Some(_) => bytes.len().div_ceil(2),
            None => bytes.len(),
        };
        let written = self.file.write(&bytes[..piece]);
        gantry_fault::pass("logs.file.after-write");
        written
    }

    #[cfg(test)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(room) = &self.room else {
            return self.file.write(bytes);
        };
        let count = bytes.len().min(room.get());
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        room.set(room.get() - count);
        self.file.write(&bytes[..count])
    }
}
