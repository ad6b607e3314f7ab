//! Sparse files: where in the file the bytes of the archive belong. GNU's old form and PAX 0.1 and 1.0.

use std::io::Read;

use super::pax::number;
use super::read_block;
use crate::error::{Error, Result};

/// A run of data in a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
}

const MAX_SEGMENTS: usize = 1 << 20;

pub(super) fn from_gnu<R: Read>(header: &tar::GnuHeader, reader: &mut R) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    push(&mut segments, &header.sparse)?;
    let mut more = header.is_extended();
    while more {
        let mut block = tar::GnuExtSparseHeader::new();
        if !read_block(reader, block.as_mut_bytes())? {
            return Err(Error::Archive("archive ends in a sparse map".into()));
        }
        push(&mut segments, &block.sparse)?;
        more = block.is_extended();
    }
    Ok(segments)
}

fn push(segments: &mut Vec<Segment>, headers: &[tar::GnuSparseHeader]) -> Result<()> {
    for h in headers.iter().filter(|h| !h.is_empty()) {
        let bad = |_| Error::Archive("malformed sparse map".into());
        add(segments, h.offset().map_err(bad)?, h.length().map_err(bad)?)?;
    }
    Ok(())
}

fn add(segments: &mut Vec<Segment>, offset: u64, len: u64) -> Result<()> {
    if segments.len() == MAX_SEGMENTS {
        return Err(Error::Limit(format!(
            "sparse map with more than {MAX_SEGMENTS} segments"
        )));
    }
    segments.push(Segment { offset, len });
    Ok(())
}

/// PAX 0.1: `offset,length,offset,length…` in a record.
pub(super) fn from_record(map: &[u8]) -> Result<Vec<Segment>> {
    let numbers: Vec<u64> = map
        .split(|b| *b == b',')
        .map(number)
        .collect::<Result<_>>()?;
    let mut segments = Vec::new();
    for pair in numbers.chunks(2) {
        let [offset, len] = pair else {
            return Err(Error::Archive("sparse map of odd length".into()));
        };
        add(&mut segments, *offset, *len)?;
    }
    Ok(segments)
}

/// PAX 1.0: decimal numbers, one a line, in front of the content and padded to a block.
pub(super) fn from_content<R: Read>(content: &mut R) -> Result<Vec<Segment>> {
    let mut lines = Lines {
        content,
        block: [0; 512],
        at: 512,
    };
    let count = lines.number()?;
    if count > MAX_SEGMENTS as u64 {
        return Err(Error::Limit(format!(
            "sparse map with more than {MAX_SEGMENTS} segments"
        )));
    }
    let mut segments = Vec::new();
    for _ in 0..count {
        let (offset, len) = (lines.number()?, lines.number()?);
        add(&mut segments, offset, len)?;
    }
    Ok(segments)
}

struct Lines<'r, R> {
    content: &'r mut R,
    block: [u8; 512],
    at: usize,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            if self.at == self.block.len() {
                if !read_block(self.content, &mut self.block)? {
                    return Err(Error::Archive("sparse map is cut off".into()));
                }
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            if byte == b'\n' {
                return number(&digits);
            }
            if digits.len() == 20 {
                return Err(Error::Archive("malformed sparse map".into()));
            }
            digits.push(byte);
        }
    }
}

/// Segments must ascend, lie in the file and use up exactly the content.
pub(super) fn check(segments: &[Segment], file_size: u64, content: u64) -> Result<()> {
    let (mut end, mut total) = (0u64, 0u64);
    for s in segments {
        let next = s.offset.checked_add(s.len);
        match next {
            Some(next) if s.offset >= end && next <= file_size => end = next,
            _ => return Err(Error::Archive("sparse map does not fit its file".into())),
        }
        total += s.len;
    }
    if total != content {
        return Err(Error::Archive("sparse map does not fit its content".into()));
    }
    Ok(())
}
