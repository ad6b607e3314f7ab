//! Turns redb's errors into the house's kinds.

use std::fmt::Display;
use std::io;

use gantry_model::{Error, ErrorKind};

/// The error of `doing`.
pub(crate) fn failed(doing: impl Display, error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    Error::new(kind(&error), format!("{doing}: {error}"))
}

fn kind(error: &redb::Error) -> ErrorKind {
    match error {
        redb::Error::Io(e) => io_kind(e),
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => ErrorKind::DataLoss,
        redb::Error::DatabaseAlreadyOpen => ErrorKind::Conflict,
        redb::Error::ValueTooLarge(_) => ErrorKind::ResourceExhausted,
        redb::Error::TableTypeMismatch { .. } => ErrorKind::DataLoss,
        _ => ErrorKind::Internal,
    }
}

fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::ResourceExhausted
        }
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        // What redb says of a file that is not one of its own, or was cut short.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorKind::DataLoss,
        _ => ErrorKind::Internal,
    }
}
