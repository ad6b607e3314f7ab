//! Why a container or an exec could not be started: a kind to decide by, and words a user can act on.

use serde::{Deserialize, Serialize};

/// What went wrong, for the caller's decision (Docker's exit codes 125, 126 and 127; CRI's reasons).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The command is not there (127).
    CommandNotFound,
    /// The command is there and cannot be executed: no permission, a directory, a wrong format (126).
    NotExecutable,
    /// The working directory cannot be entered (126).
    Cwd,
    /// The user or group is not known, or is no valid number.
    User,
    /// A mount failed.
    Mount,
    /// The host's side of a bind mount is not there.
    MountSource,
    /// The configuration is wrong.
    InvalidSpec,
    /// This host or this runtime cannot do it.
    Unsupported,
    /// A namespace could not be made or entered.
    Namespace,
    /// A cgroup could not be made, limited or entered.
    Cgroup,
    /// The system call filter could not be made or loaded.
    Seccomp,
    /// The target of an exec is gone.
    Gone,
    /// Anything else of the kernel's.
    System,
}

impl FailureKind {
    /// The exit code Docker's clients show for it.
    #[must_use]
    pub fn docker_exit_code(self) -> i32 {
        match self {
            Self::CommandNotFound => 127,
            Self::NotExecutable | Self::Cwd => 126,
            _ => 125,
        }
    }
}

/// A failed launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct LaunchError {
    /// The kind.
    pub kind: FailureKind,
    /// What was tried on which object, and why it failed.
    pub message: String,
    /// The kernel's errno, 0 for none.
    #[serde(default)]
    pub errno: i32,
}

pub(crate) type Result<T> = std::result::Result<T, LaunchError>;

impl LaunchError {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            errno: 0,
        }
    }

    pub(crate) fn spec(message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidSpec, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unsupported, message)
    }
}

/// Turns kernel errors into launch errors of one kind.
pub(crate) trait Kind<T> {
    /// The same result with a kind.
    fn kind(self, kind: FailureKind) -> Result<T>;
}

impl<T> Kind<T> for gantry_sys::Result<T> {
    fn kind(self, kind: FailureKind) -> Result<T> {
        self.map_err(|e| LaunchError {
            kind,
            message: e.to_string(),
            errno: e.errno() as i32,
        })
    }
}

impl From<gantry_fault::Injected> for LaunchError {
    fn from(e: gantry_fault::Injected) -> Self {
        Self::new(FailureKind::System, e.to_string())
    }
}

impl From<gantry_sys::Error> for LaunchError {
    fn from(e: gantry_sys::Error) -> Self {
        Self {
            kind: FailureKind::System,
            message: e.to_string(),
            errno: e.errno() as i32,
        }
    }
}
