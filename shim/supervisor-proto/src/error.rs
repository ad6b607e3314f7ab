//! Errors as they travel: a kind from a closed list and a text. The client turns them into the model's kinds.

use serde::{Deserialize, Serialize};

/// What went wrong, for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request itself is wrong.
    InvalidArgument,
    /// No such container or exec here.
    NotFound,
    /// It is here already.
    AlreadyExists,
    /// Its state, or a port's owner, forbids it.
    Conflict,
    /// The host lacks something.
    FailedPrecondition,
    /// It is as asked already.
    NotModified,
    /// Not now.
    Unavailable,
    /// A limit was met.
    ResourceExhausted,
    /// The kernel refused.
    PermissionDenied,
    /// Not served.
    Unimplemented,
    /// The program does not exist.
    CommandNotFound,
    /// The program cannot be executed.
    CommandNotExecutable,
    /// A mistake of ours, of the host, or a kind a newer supervisor knows.
    #[serde(other)]
    Internal,
}

/// An error on the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct WireError {
    /// For programs.
    pub kind: ErrorKind,
    /// For people.
    #[serde(default)]
    pub message: String,
}

impl WireError {
    /// An error of the kind with the text.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A wrong request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Nothing of that name.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// State or users forbid it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// A mistake of ours or the host's.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same with what was being done in front.
    #[must_use]
    pub fn context(self, doing: impl std::fmt::Display) -> Self {
        Self {
            kind: self.kind,
            message: format!("{doing}: {}", self.message),
        }
    }
}
