//! Container logs: one writer (the supervisor) and readers (the doors) of CRI's and Docker's json-file formats.
//!
//! Invariant: a line is never torn and never doubled. The writer adds whole lines in one write and cuts off what a
//! failed write left; a reader gives out only what ends in a newline. Plain files and std only: no runtime, no waiting.

pub mod clock;
pub mod format;
pub mod reader;
#[cfg(test)]
mod testing;
pub mod writer;

pub use format::{Entry, Format, Stream};
pub use reader::{LogReader, ReadOptions};
pub use writer::{LogWriter, Rotation};
