//! Compressing a file put aside: beside the writing, by whoever the writer's owner hands the job to (a short-lived child
//! of the supervisor). The job sees two descriptors and no name; the writer gives the result its name, since numbers may
//! have changed meanwhile.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::{AsRawFd, RawFd};

use flate2::{Compression, GzBuilder};

use crate::aside::Identity;

/// One file to be compressed.
#[derive(Debug)]
pub struct CompressJob {
    pub(crate) from: File,
    pub(crate) to: File,
}

impl CompressJob {
    /// The descriptors it needs.
    pub fn descriptors(&self) -> [RawFd; 2] {
        [self.from.as_raw_fd(), self.to.as_raw_fd()]
    }

    /// Does it: some tenth of a second for 20 MB. The result is on the disk when this returns, as the plain file is
    /// removed next.
    ///
    /// # Errors
    /// The file system's.
    pub fn run(self) -> io::Result<()> {
        let identity = Identity::of(&self.from)?;
        let out = BufWriter::with_capacity(64 << 10, &self.to);
        let mut gz = GzBuilder::new()
            .extra(identity.to_extra())
            .write(out, Compression::fast());
        io::copy(&mut BufReader::with_capacity(64 << 10, &self.from), &mut gz)?;
        gz.finish()?.flush()?;
        gantry_fault::point("logs.compress.before-sync").map_err(io::Error::other)?;
        self.to.sync_data()
    }
}
