//! The file a log is written to: only whole lines are left in it, whatever fails.
//!
//! Blocks beyond its end are taken ahead: what was read from a process must have a place on a disk that others fill,
//! as a process that ends then is never asked again. They are given back when the file is left.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

/// Bytes looked at at once for the last newline.
const CHUNK: usize = 4 << 10;
/// So many bytes are taken ahead at once, so that not every line asks for some.
pub(crate) const STEP: u64 = 128 << 10;

/// Whether it is for want of room on the disk, which may come again.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A file opened for appending lines.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: File,
    /// Devices and pipes have no end to cut.
    regular: bool,
    /// A line without its end may be the last thing in it.
    torn: bool,
    /// Blocks are taken up to this place.
    taken: u64,
    /// The file system takes none ahead.
    unable: bool,
    /// What a test pretends.
    #[cfg(test)]
    pub(crate) pretended: crate::testing::Disk,
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
            taken: 0,
            unable: !regular,
            #[cfg(test)]
            pretended: crate::testing::Disk::default(),
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
            // All that was taken ahead has gone with it.
            self.taken = 0;
            gantry_fault::pass("logs.file.after-cut");
        }
        self.torn = false;
        Ok(())
    }

    /// Takes blocks ahead of the end, which is at `size`, when fewer than `low` bytes are left.
    ///
    /// # Errors
    /// The file system's; not that it cannot do so at all.
    pub(crate) fn take_ahead(&mut self, size: u64, low: u64) -> io::Result<()> {
        if self.unable || self.ahead(size) >= low {
            return Ok(());
        }
        gantry_fault::point("logs.file.before-take").map_err(io::Error::other)?;
        let mut done = self.allocate(size, low + STEP);
        if done.as_ref().is_err_and(is_full) {
            // On a disk as full as that a little less will do.
            done = self.allocate(size, low);
        }
        gantry_fault::pass("logs.file.after-take");
        match done {
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                self.unable = true;
                Ok(())
            }
            other => other,
        }
    }

    /// Bytes that can be written whatever others do.
    pub(crate) fn ahead(&self, size: u64) -> u64 {
        self.taken.saturating_sub(size)
    }

    /// The file was cut by somebody else.
    pub(crate) fn was_cut(&mut self) {
        self.taken = 0;
    }

    /// Nothing more will be written: what was taken ahead is given back.
    pub(crate) fn give_back(&mut self) {
        if self.taken == 0 {
            return;
        }
        self.taken = 0;
        gantry_fault::pass("logs.file.before-give-back");
        // If it fails, the blocks go with the file.
        let _ = self
            .file
            .metadata()
            .and_then(|metadata| self.file.set_len(metadata.len()));
        gantry_fault::pass("logs.file.after-give-back");
    }

    fn allocate(&mut self, offset: u64, length: u64) -> io::Result<()> {
        #[cfg(test)]
        self.pretended
            .take_ahead(self.taken.max(offset), offset + length)?;
        let signed = |n: u64| i64::try_from(n).map_err(io::Error::other);
        let flags = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&self.file, flags, signed(offset)?, signed(length)?) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Err(io::ErrorKind::Unsupported.into()),
            Err(e) => Err(e.into()),
            Ok(()) => {
                self.taken = offset + length;
                Ok(())
            }
        }
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
        let size = self.file.metadata()?.len();
        let count = self.pretended.write(self.ahead(size), bytes.len())?;
        self.file.write(&bytes[..count])
    }
}
