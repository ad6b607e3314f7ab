//! Names and numbers both sides must agree on: outcomes, error kinds, kinds of plugins and the order of their functions.

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Outcome {
    /// The change is made, now or before.
    Done = 0,
    /// Nothing is changed.
    NotDone = 1,
    /// May be changed, in part.
    Unknown = 2,
}

impl Outcome {
    /// Reads the number a call returned. A number nobody knows means that nobody knows what happened.
    pub fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::NotDone,
            _ => Self::Unknown,
        }
    }
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal),+ $(,)?) => {
        /// Why a call was not done: a closed list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum ErrorCode { $($(#[$doc])* $name = $code),+ }

        /// Every kind, in the order of the numbers, from 1 on.
        pub const ERROR_KINDS: &[ErrorCode] = &[$(ErrorCode::$name),+];

        impl ErrorCode {
            /// Reads a number; one nobody knows (a newer minor version's) is `Internal`.
            pub fn from_code(code: u32) -> Self {
                match code { $($code => Self::$name,)+ _ => Self::Internal }
            }

            /// The name in lower case, for logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

error_codes! {
    /// The request itself is wrong.
    InvalidArgument = 1 "invalid argument",
    /// There is no such object.
    NotFound = 2 "not found",
    /// The name is taken by another object.
    AlreadyExists = 3 "already exists",
    /// Somebody still needs it.
    InUse = 4 "in use",
    /// Not in this state of the object or of the host.
    FailedPrecondition = 5 "failed precondition",
    /// The host forbids it.
    PermissionDenied = 6 "permission denied",
    /// No space, address or port is left.
    ResourceExhausted = 7 "resource exhausted",
    /// The plugin does not do this.
    Unimplemented = 8 "unimplemented",
    /// Not now; may work later.
    Unavailable = 9 "unavailable",
    /// The deadline passed.
    DeadlineExceeded = 10 "deadline exceeded",
    /// The caller cancelled.
    Cancelled = 11 "cancelled",
    /// Data is there but broken.
    DataLoss = 12 "data loss",
    /// A fault of the plugin.
    Internal = 13 "internal",
    /// A fault inside the plugin was contained; the instance refuses every further call.
    Poisoned = 14 "poisoned",
}

/// The kinds of plugins this version knows.
pub fn kinds() -> &'static [&'static str] {
    &["snapshotter", "network", "volume"]
}

/// The functions of a table or extension in the table's order, so that the n-th name is the n-th pointer after `size`.
pub fn functions_of(table: &str) -> Option<&'static [&'static str]> {
    Some(match table {
        "snapshotter" => &[
            "prepare", "view", "commit", "mounts", "remove", "stat", "list", "usage", "cleanup",
        ],
        "snapshotter.diff" => &["diff"],
        "network" => &["create", "delete", "join", "leave", "inspect", "reconcile"],
        "network.stats" => &["stats"],
        "volume" => &[
            "create", "remove", "mount", "unmount", "inspect", "list", "usage",
        ],
        _ => return None,
    })
}
