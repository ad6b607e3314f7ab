//! Lines on stdout.

use std::io::Write;

use gantry_files::protocol::Line;
use gantry_files::{Error, Result};

/// Writes one line.
///
/// # Errors
/// Kind `io`: gantryd has closed its end, so the work has no purpose any more.
pub(crate) fn write(line: &Line) -> Result<()> {
    let mut text =
        serde_json::to_vec(line).map_err(|e| Error::Request(format!("write an answer: {e}")))?;
    text.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&text)
        .and_then(|()| out.flush())
        .map_err(|source| Error::Io {
            doing: "write an answer".into(),
            source,
        })
}

pub(crate) fn error(e: &Error) -> Line {
    Line::Error {
        kind: e.kind(),
        message: e.to_string(),
    }
}
