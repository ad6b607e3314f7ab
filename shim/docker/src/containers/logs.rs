//! `GET /containers/{id}/logs`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gantry_engine::WaitCondition;
use gantry_logs::{Entry, Format, LogReader, ReadOptions, Stream};
use gantry_model::container::Container;
use gantry_model::supervisor::LogSink;
use gantry_model::{Error, Timestamp};
use tokio::sync::mpsc;

use crate::containers::named;
use crate::convert::time;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, stream};
use crate::streaming::frame;

/// How often a log that is followed is looked at when it is still.
const LOOK: Duration = Duration::from_millis(50);

/// Most of a log that is sent before an attachment: it is gathered in memory.
const MAX_PAST: usize = 64 << 20;

/// What of the entries goes out, and how.
struct Shape {
    stdout: bool,
    stderr: bool,
    timestamps: bool,
    /// Each entry begins with its attributes. None are written yet, so that only the space behind them is left.
    details: bool,
    raw: bool,
}

/// Reads a log, and with `follow` goes on until the run ends.
pub(crate) async fn logs(door: Arc<DockerDoor>, req: Req) -> Answer {
    let container = named(&door, &req)?;
    let query = &req.query;
    let shape = Shape {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
        raw: container.spec.process.terminal,
    };
    if !shape.stdout && !shape.stderr {
        return Err(Failure::bad_request(
            "Bad parameters: you must choose at least one stream",
        ));
    }
    let options = ReadOptions {
        since: time::parse("since", query.text("since"))?.map(|at| at.0),
        until: time::parse("until", query.text("until"))?.map(|at| at.0),
        tail: tail(query.text("tail"))?,
    };
    let reader = open(&container, options).await?;
    // Asked before the first read, so that what was written before the end is read after it.
    let end = if query.flag("follow") && container.state.is_live() {
        Some(
            door.engine
                .wait_container(&container.id, WaitCondition::NotRunning)?,
        )
    } else {
        None
    };
    let (sender, response) = stream(frame::content_type(shape.raw, req.version));
    tokio::spawn(async move {
        let mut reader = reader;
        if let Some(end) = end {
            let mut end = Box::pin(end);
            loop {
                // A log that is still must not keep a client waiting for a time that has passed.
                let late = options
                    .until
                    .is_some_and(|until| gantry_logs::clock::now() > until);
                match pass_on(reader, &shape, &sender).await {
                    Some(again) if !again.is_ended() && !late => reader = again,
                    _ => return,
                }
                tokio::select! {
                    _ = &mut end => break,
                    () = sender.closed() => return,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
        pass_on(reader, &shape, &sender).await;
    });
    Ok(response)
}

/// Everything there is now, framed: what `attach` with `logs=1` begins with.
///
/// # Errors
/// As reading the log.
pub(crate) async fn whole(
    container: &Container,
    (stdout, stderr): (bool, bool),
) -> Result<Bytes, Failure> {
    let shape = Shape {
        stdout,
        stderr,
        timestamps: false,
        details: false,
        raw: container.spec.process.terminal,
    };
    let mut reader = open(container, ReadOptions::default()).await?;
    let read = tokio::task::spawn_blocking(move || {
        let mut out = BytesMut::new();
        while out.len() <= MAX_PAST {
            let entries = reader.read_more()?;
            if entries.is_empty() {
                return io::Result::Ok(Some(out.freeze()));
            }
            out.extend_from_slice(&shape.write(entries));
        }
        Ok(None)
    });
    let past = read.await.map_err(abnormal)?.map_err(unreadable)?;
    past.ok_or_else(|| {
        Failure::not_served(
            "more than 64 MiB of log before an attachment are not served by gantry yet: read them as logs",
        )
    })
}

fn tail(text: Option<&str>) -> Result<Option<u64>, Failure> {
    match text {
        None | Some("all") => Ok(None),
        // Negative numbers mean "all" to Docker, and so does what is no number.
        Some(text) => Ok(text.parse().ok()),
    }
}

async fn open(container: &Container, options: ReadOptions) -> Result<LogReader, Failure> {
    let (path, format) = match &container.log {
        LogSink::None => {
            return Err(Failure::not_served(
                "configured logging driver does not support reading",
            ));
        }
        LogSink::Cri { path } => (PathBuf::from(path), Format::Cri),
        LogSink::Local { path, .. } => (PathBuf::from(path), Format::Local),
        LogSink::JsonFile { path, .. } => (PathBuf::from(path), Format::JsonFile),
    };
    let opened = tokio::task::spawn_blocking(move || LogReader::open(&path, format, options));
    Ok(opened.await.map_err(abnormal)?.map_err(unreadable)?)
}

fn abnormal(error: tokio::task::JoinError) -> Error {
    Error::internal(format!("reading the log ended abnormally: {error}"))
}

fn unreadable(error: io::Error) -> Error {
    Error::internal(format!("read the container's log: {error}"))
}

/// Sends all there is for now; gives the reader back unless the client has gone or the log cannot be read.
async fn pass_on(
    mut reader: LogReader,
    shape: &Shape,
    sender: &mpsc::Sender<Bytes>,
) -> Option<LogReader> {
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let entries = reader.read_more();
            (reader, entries)
        });
        let (again, entries) = read.await.ok()?;
        reader = again;
        let entries = match entries {
            Ok(entries) if entries.is_empty() => return Some(reader),
            Ok(entries) => entries,
            // One damaged file is no reason to keep back the others.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%error, "a file of a container's log is damaged; the rest of it is passed over");
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "reading a container's log failed");
                return None;
            }
        };
        let bytes = shape.write(entries);
        if !bytes.is_empty() && sender.send(bytes).await.is_err() {
            return None;
        }
    }
}

impl Shape {
    fn write(&self, entries: Vec<Entry>) -> Bytes {
        let mut out = BytesMut::new();
        for entry in entries {
            let stderr = entry.stream == Stream::Stderr;
            if (stderr && !self.stderr) || (!stderr && !self.stdout) {
                continue;
            }
            let mut bytes = Vec::new();
            if self.timestamps {
                bytes.extend_from_slice(stamp(Timestamp(entry.time)).as_bytes());
                bytes.push(b' ');
            }
            if self.details {
                bytes.push(b' ');
            }
            bytes.extend_from_slice(&entry.bytes);
            out.extend_from_slice(&frame::output(self.raw, stderr, bytes));
        }
        out.freeze()
    }
}

/// Log times always have nine digits, so that columns line up.
fn stamp(at: Timestamp) -> String {
    let whole = Timestamp(at.0 - i64::from(at.subsec_nanos())).rfc3339();
    format!("{}.{:09}Z", whole.trim_end_matches('Z'), at.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_framed_and_stamped() {
        let entry = |stream, text: &str| Entry {
            time: 1_709_210_096_120_000_000,
            stream,
            partial: false,
            bytes: text.as_bytes().to_vec(),
        };
        let entries = vec![entry(Stream::Stdout, "a\n"), entry(Stream::Stderr, "b\n")];
        let mut shape = Shape {
            stdout: true,
            stderr: false,
            timestamps: true,
            details: false,
            raw: true,
        };
        assert_eq!(
            &shape.write(entries.clone())[..],
            b"2024-02-29T12:34:56.120000000Z a\n"
        );
        shape = Shape {
            stdout: true,
            stderr: true,
            timestamps: false,
            details: true,
            raw: false,
        };
        assert_eq!(
            &shape.write(entries)[..],
            b"\x01\0\0\0\0\0\0\x03 a\n\x02\0\0\0\0\0\0\x03 b\n"
        );
    }

    #[test]
    fn tails() {
        for (text, expected) in [
            (None, None),
            (Some("all"), None),
            (Some("5"), Some(5)),
            (Some("0"), Some(0)),
            (Some("-1"), None),
        ] {
            assert_eq!(tail(text).unwrap(), expected, "{text:?}");
        }
    }
}
