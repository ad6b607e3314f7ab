//! Container logs: one writer (the supervisor) and readers (the doors) of CRI's lines, Docker's json-file and Gantry's
//! own format for Docker's `local`.
//!
//! Invariant: a line is never torn and never doubled. The writer adds whole lines and cuts off what a failed write, or
//! a writer that died, left; a reader gives out only what ends in a newline. Files put aside are numbered from 1, the
//! newest; a number is either `log.N` or, compressed, `log.N.gz`, and where both are there `log.N` counts. Plain files
//! and std only: no runtime, and no waiting but for the moment in which files change their numbers.

mod aside;
pub mod clock;
pub mod compress;
mod file;
pub mod format;
pub mod reader;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod testing;
pub mod writer;

pub use compress::CompressJob;
pub use format::{Entry, Format, Stream};
pub use reader::{LogReader, ReadOptions};
pub use writer::{LogWriter, Rotation};
