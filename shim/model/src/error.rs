//! The one closed list of error kinds. Each door has one table that turns a kind into its protocol's status.

use serde::{Deserialize, Serialize};

/// What went wrong, for a program. Never decide by the text of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request itself is wrong and will stay so.
    InvalidArgument,
    /// The object named does not exist.
    NotFound,
    /// An object of that name or id exists already.
    AlreadyExists,
    /// The object's state or its users forbid it (in use, running, being removed).
    Conflict,
    /// Something the request depends on is not so (a host feature, a mount's propagation).
    FailedPrecondition,
    /// The object is already as asked (start of a running one).
    NotModified,
    /// A part that is needed is not there now; trying again may help.
    Unavailable,
    /// The time given ran out. The outcome is *not done*, unless the message says unknown.
    DeadlineExceeded,
    /// Somebody cancelled the operation.
    Cancelled,
    /// A limit of the host or of Gantry was met (disk, memory, pids, descriptors, a size).
    ResourceExhausted,
    /// The caller may not do this.
    PermissionDenied,
    /// A registry refused the credentials.
    Unauthenticated,
    /// Known and not served yet; stands in the scope table.
    Unimplemented,
    /// The container's program does not exist (shells and Docker say 127).
    CommandNotFound,
    /// The container's program cannot be executed (126).
    CommandNotExecutable,
    /// Stored or received data is damaged.
    DataLoss,
    /// The outcome of a call is not known; its object stays locked until it is.
    Unknown,
    /// A mistake of ours or of the host.
    Internal,
}

/// An error with its kind and a text that says what was tried on which object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: lower case, no full stop, names the object.
    pub message: String,
}

/// Shorthand of this project.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the kind with the text.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The same error with what was being done put in front: `<doing>: <message>`.
    #[must_use]
    pub fn context(self, doing: impl std::fmt::Display) -> Self {
        Self {
            kind: self.kind,
            message: format!("{doing}: {}", self.message),
        }
    }
}

impl From<gantry_fault::Injected> for Error {
    fn from(injected: gantry_fault::Injected) -> Self {
        Self::internal(injected.to_string())
    }
}

macro_rules! shorthand {
    ($($name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $(
                #[doc = concat!("An error of kind [`ErrorKind::", stringify!($kind), "`].")]
                pub fn $name(message: impl Into<String>) -> Self {
                    Self::new(ErrorKind::$kind, message)
                }
            )*
        }
    };
}

shorthand! {
    invalid => InvalidArgument,
    not_found => NotFound,
    already_exists => AlreadyExists,
    conflict => Conflict,
    failed_precondition => FailedPrecondition,
    not_modified => NotModified,
    unavailable => Unavailable,
    deadline => DeadlineExceeded,
    cancelled => Cancelled,
    exhausted => ResourceExhausted,
    unimplemented => Unimplemented,
    data_loss => DataLoss,
    unknown => Unknown,
    internal => Internal,
}
