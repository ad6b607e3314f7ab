//! Reading a tar stream entry by entry: ustar, GNU and PAX, with bounds on everything a header can ask for.
//!
//! Header fields are decoded by the `tar` crate; its own iteration is not used, since it reads long names and PAX
//! records of any length into memory and knows no PAX sparse files. Places no file: see [`crate::unpack`].

mod entry;
mod pax;
mod sparse;

use std::io::Read;

pub use entry::{Entry, EntryKind, Time};
pub use sparse::Segment;

use crate::error::{Error, Result};
use crate::limits::Limits;

const BLOCK: u64 = 512;

/// A tar stream. Call [`Archive::next_entry`], read the entry's content by [`Read`], and again.
pub struct Archive<'l, R> {
    reader: R,
    limits: &'l Limits,
    /// Content of the current entry not read yet.
    content: u64,
    /// Zero bytes after it, up to the next block.
    padding: u64,
}

impl<'l, R: Read> Archive<'l, R> {
    /// A tar stream over these uncompressed bytes.
    pub fn new(reader: R, limits: &'l Limits) -> Self {
        Self {
            reader,
            limits,
            content: 0,
            padding: 0,
        }
    }

    /// The next entry, or none at the end. What is left of the entry before is skipped.
    ///
    /// # Errors
    /// Kinds `archive` and `limit`; `io` if reading fails.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut pax = None;
        let mut long_name = None;
        let mut long_link = None;
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let size = entry::size(&header)?;
            match header.entry_type().as_byte() {
                b'x' => pax = Some(pax::parse(&self.extension(size)?)?),
                // Global records: Docker's and containerd's readers pass them over too.
                b'g' => drop(self.extension(size)?),
                b'L' => long_name = Some(cut(self.extension(size)?)),
                b'K' => long_link = Some(cut(self.extension(size)?)),
                _ => {
                    let mut entry =
                        Entry::new(&header, pax.unwrap_or_default(), long_name, long_link)?;
                    self.start_content(&mut entry, &header)?;
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// Reads to the end of the stream and gives the reader back.
    ///
    /// # Errors
    /// As [`Archive::next_entry`].
    pub fn finish(mut self) -> Result<R> {
        std::io::copy(&mut self.reader, &mut std::io::sink())
            .map_err(|e| Error::from_read("read archive", e))?;
        Ok(self.reader)
    }

    fn start_content(&mut self, entry: &mut Entry, header: &tar::Header) -> Result<()> {
        self.set_size(entry.size);
        if header.entry_type().as_byte() == b'S' {
            let gnu = header
                .as_gnu()
                .ok_or_else(|| Error::Archive("sparse entry without a gnu header".into()))?;
            // The blocks that extend the map are not counted by the header's size.
            entry.segments = Some(sparse::from_gnu(gnu, &mut self.reader)?);
        } else if entry.sparse_map_in_content {
            let before = self.content;
            let mut map = (&mut self.reader).take(before);
            entry.segments = Some(sparse::from_content(&mut map)?);
            self.content = map.limit();
        }
        if let Some(segments) = &entry.segments {
            sparse::check(segments, entry.file_size, self.content)?;
        }
        Ok(())
    }

    fn set_size(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }

    fn skip_rest(&mut self) -> Result<()> {
        let left = self.content + self.padding;
        (self.content, self.padding) = (0, 0);
        let skipped = std::io::copy(&mut (&mut self.reader).take(left), &mut std::io::sink())
            .map_err(|e| Error::from_read("read archive", e))?;
        if skipped < left {
            return Err(Error::Archive(
                "archive ends in the middle of an entry".into(),
            ));
        }
        Ok(())
    }

    /// The next header block; none at a zero block or at a clean end.
    fn header(&mut self) -> Result<Option<tar::Header>> {
        let mut header = tar::Header::new_old();
        if !read_block(&mut self.reader, header.as_mut_bytes())? {
            return Ok(None);
        }
        if header.as_bytes().iter().all(|b| *b == 0) {
            return Ok(None);
        }
        entry::verify_checksum(&header)?;
        Ok(Some(header))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > self.limits.header {
            return Err(Error::Limit(format!(
                "extended header of {size} bytes, at most {} are read",
                self.limits.header
            )));
        }
        self.set_size(size);
        let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        self.read_to_end(&mut data)
            .map_err(|e| Error::from_read("read extended header", e))?;
        if data.len() as u64 != size {
            return Err(Error::Archive("archive ends in an extended header".into()));
        }
        Ok(data)
    }
}

/// The content of the current entry.
impl<R: Read> Read for Archive<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let want = buf
            .len()
            .min(usize::try_from(self.content).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let got = self.reader.read(&mut buf[..want])?;
        self.content -= got as u64;
        Ok(got)
    }
}

/// GNU long names end with a NUL.
fn cut(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|b| *b == 0) {
        name.truncate(end);
    }
    name
}

/// Fills the block; `false` at a clean end before its first byte.
fn read_block<R: Read>(reader: &mut R, block: &mut [u8]) -> Result<bool> {
    let mut at = 0;
    while at < block.len() {
        match reader.read(&mut block[at..]) {
            Ok(0) if at == 0 => return Ok(false),
            Ok(0) => {
                return Err(Error::Archive(
                    "archive ends in the middle of a header".into(),
                ));
            }
            Ok(n) => at += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::from_read("read archive", e)),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
