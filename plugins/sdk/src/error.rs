//! The one error type of drivers: a kind from the closed list, a message, and whether the change may have been made.

use std::fmt::Display;
use std::io;

pub use gantry_abi::ErrorCode;

/// What a driver's function answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was not done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// From the closed list; the host decides by it.
    pub code: ErrorCode,
    /// What was tried on which object: lower case, no full stop.
    pub message: String,
    /// The change may have been made in part: the host will ask again or clean up.
    pub outcome_unknown: bool,
}

impl Error {
    /// An error after which nothing is changed.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            outcome_unknown: false,
        }
    }

    /// The same error, when the change may have been made in part and could not be undone.
    #[must_use]
    pub fn unknown(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    /// The request itself is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// There is no such object.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// The name is taken by another object.
    pub fn exists(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::AlreadyExists, message)
    }

    /// Somebody still needs it.
    pub fn in_use(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InUse, message)
    }

    /// The plugin does not do this.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unimplemented, message)
    }

    /// A fault of the plugin or of the host.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// A failed system call: `what` says what was tried on which object.
    pub fn io(what: impl Display, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
            io::ErrorKind::NotFound => ErrorCode::NotFound,
            io::ErrorKind::AlreadyExists => ErrorCode::AlreadyExists,
            io::ErrorKind::ResourceBusy | io::ErrorKind::AddrInUse => ErrorCode::InUse,
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::OutOfMemory => ErrorCode::ResourceExhausted,
            io::ErrorKind::TimedOut => ErrorCode::DeadlineExceeded,
            io::ErrorKind::Unsupported => ErrorCode::Unimplemented,
            _ => ErrorCode::Internal,
        };
        Self::new(code, format!("{what}: {error}"))
    }
}
