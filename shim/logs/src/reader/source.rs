//! One file of a log, given out in blocks of whole lines.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use flate2::read::GzDecoder;

use crate::aside::Identity;

/// Bytes read at once.
pub(super) const CHUNK: usize = 64 << 10;
/// Longest line of a file: a piece of 16 KiB, each byte escaped to six, and its frame. What is longer is passed over.
const MAX_LINE: usize = 1 << 20;

/// A file of a log.
#[derive(Debug)]
pub(super) enum Source {
    /// As written; it may grow.
    Plain {
        file: File,
        /// Where the first line not given out begins. What follows the last newline is read again when there is more
        /// of it: its writer may have taken it back.
        at: u64,
        skipping: bool,
    },
    /// Compressed, and so complete.
    Gz {
        decoder: Box<GzDecoder<File>>,
        rest: Vec<u8>,
        skipping: bool,
    },
}

impl Source {
    pub(super) fn plain(file: File) -> Self {
        Self::Plain {
            file,
            at: 0,
            skipping: false,
        }
    }

    pub(super) fn gz(file: File) -> Self {
        Self::Gz {
            decoder: Box::new(GzDecoder::new(file)),
            rest: Vec::new(),
            skipping: false,
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain { .. })
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        match self {
            Self::Plain { file, .. } => file.metadata(),
            Self::Gz { decoder, .. } => decoder.get_ref().metadata(),
        }
    }

    /// Which file it is, or was before it was compressed. `None`: compressed by somebody else.
    pub(super) fn identity(&mut self) -> io::Result<Option<Identity>> {
        match self {
            Self::Plain { file, .. } => Identity::of(file).map(Some),
            Self::Gz { decoder, rest, .. } => {
                if decoder.header().is_none() {
                    // The header is read with the first bytes.
                    let _ = more(decoder, rest, 1)?;
                }
                let extra = decoder.header().and_then(|h| h.extra());
                Ok(extra.and_then(Identity::from_extra))
            }
        }
    }

    /// A file shorter than what was read of it was begun anew.
    pub(super) fn begin_anew_if_shorter(&mut self, len: u64) {
        if let Self::Plain { at, skipping, .. } = self
            && len < *at
        {
            *at = 0;
            *skipping = false;
        }
    }

    pub(super) fn set_start(&mut self, start: u64) {
        if let Self::Plain { at, .. } = self {
            *at = start;
        }
    }

    /// From the beginning again.
    pub(super) fn rewind(self) -> io::Result<Self> {
        Ok(match self {
            Self::Plain { file, .. } => Self::plain(file),
            Self::Gz { decoder, .. } => {
                let mut file = decoder.into_inner();
                file.seek(SeekFrom::Start(0))?;
                Self::gz(file)
            }
        })
    }

    /// Puts the next whole lines into `block`; `false` when there is none (yet).
    pub(super) fn read_block(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        match self {
            Self::Plain { file, at, skipping } => read_plain(file, at, skipping, block),
            Self::Gz {
                decoder,
                rest,
                skipping,
            } => read_gz(decoder, rest, skipping, block),
        }
    }

    /// Whole lines from here to the end, passing over them.
    pub(super) fn count_lines(&mut self) -> io::Result<u64> {
        let mut block = Vec::new();
        let mut count = 0;
        while self.read_block(&mut block)? {
            count += newlines(&block);
        }
        Ok(count)
    }

    /// Passes over the next lines. For compressed files, which cannot be read backwards.
    pub(super) fn skip_lines(&mut self, mut count: u64) -> io::Result<()> {
        let mut block = Vec::new();
        while count > 0 && self.read_block(&mut block)? {
            let there = newlines(&block);
            if there <= count {
                count -= there;
                continue;
            }
            let mut keep = 0;
            while count > 0 {
                keep += block[keep..].iter().position(|b| *b == b'\n').unwrap_or(0) + 1;
                count -= 1;
            }
            if let Self::Gz { rest, .. } = self {
                rest.splice(..0, block[keep..].iter().copied());
            }
        }
        Ok(())
    }
}

fn newlines(block: &[u8]) -> u64 {
    block.iter().filter(|b| **b == b'\n').count() as u64
}

fn read_plain(
    file: &File,
    at: &mut u64,
    skipping: &mut bool,
    block: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut want = CHUNK;
    loop {
        block.resize(want, 0);
        let mut len = 0;
        while len < want {
            match file.read_at(&mut block[len..], *at + len as u64) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        block.truncate(len);
        if let Some(place) = block.iter().rposition(|b| *b == b'\n') {
            block.truncate(place + 1);
            *at += block.len() as u64;
            if !begin(block, skipping) {
                continue;
            }
            return Ok(true);
        }
        if len < want {
            block.clear();
            return Ok(false);
        }
        if want >= MAX_LINE {
            *skipping = true;
            *at += len as u64;
            want = CHUNK;
        } else {
            want *= 4;
        }
    }
}

fn read_gz(
    decoder: &mut GzDecoder<File>,
    rest: &mut Vec<u8>,
    skipping: &mut bool,
    block: &mut Vec<u8>,
) -> io::Result<bool> {
    block.clear();
    loop {
        if let Some(place) = rest.iter().rposition(|b| *b == b'\n') {
            block.extend(rest.drain(..=place));
            if begin(block, skipping) {
                return Ok(true);
            }
        }
        if rest.len() >= MAX_LINE {
            *skipping = true;
            rest.clear();
        }
        if !more(decoder, rest, CHUNK)? {
            return Ok(false);
        }
    }
}

fn more(decoder: &mut GzDecoder<File>, rest: &mut Vec<u8>, want: usize) -> io::Result<bool> {
    let before = rest.len();
    rest.resize(before + want, 0);
    let read = decoder.read(&mut rest[before..]);
    rest.truncate(before + read.as_ref().map_or(0, |count| *count));
    match read {
        Ok(count) => Ok(count > 0),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(e) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("read a compressed file of the log: {e}"),
        )),
    }
}

/// Takes the end of a line too long off the front; whether anything is left.
fn begin(block: &mut Vec<u8>, skipping: &mut bool) -> bool {
    if std::mem::take(skipping) {
        let end = block.iter().position(|b| *b == b'\n').map_or(0, |p| p + 1);
        block.drain(..end);
    }
    !block.is_empty()
}
