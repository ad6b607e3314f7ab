//! What can go wrong with an archive or a tree, and the kind a caller decides by.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// For programs: what kind of failure it was. Travels as JSON from the helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The archive is malformed or tries what no archive may.
    Archive,
    /// A limit was exceeded.
    Limit,
    /// The bytes are not the ones that were promised.
    Digest,
    /// The disk or the quota is full.
    NoSpace,
    /// The request to the helper makes no sense.
    Request,
    /// Another failure of the host.
    Io,
}

/// A failure, with a text for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// See [`Kind::Archive`].
    #[error("{0}")]
    Archive(String),
    /// See [`Kind::Limit`].
    #[error("{0}")]
    Limit(String),
    /// See [`Kind::Digest`].
    #[error("{0}")]
    Digest(String),
    /// See [`Kind::Request`].
    #[error("{0}")]
    Request(String),
    /// A system call or a read failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried on which object.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Error {
    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Archive(_) => Kind::Archive,
            Self::Limit(_) => Kind::Limit,
            Self::Digest(_) => Kind::Digest,
            Self::Request(_) => Kind::Request,
            Self::Io { source, .. } => match source.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOSPC | Errno::EDQUOT) => Kind::NoSpace,
                _ => Kind::Io,
            },
        }
    }

    pub(crate) fn io(doing: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Io {
            doing: doing.into(),
            source: source.into(),
        }
    }

    /// Takes one of our own errors back out of an `io::Error` that carried it through a reader.
    pub(crate) fn from_read(doing: &str, e: std::io::Error) -> Self {
        match e.downcast::<Self>() {
            Ok(own) => own,
            Err(e) if e.raw_os_error().is_some() => Self::io(doing, e),
            // Without an errno it came from a decoder: the data is at fault.
            Err(e) => Self::Archive(format!("{doing}: {e}")),
        }
    }
}

/// A path for a message: never raw bytes of a stranger on somebody's terminal.
pub(crate) fn show(path: &[u8]) -> String {
    let mut s = format!("{:?}", String::from_utf8_lossy(path));
    if s.len() > 200 {
        s = s.chars().take(200).chain("…\"".chars()).collect();
    }
    s
}
