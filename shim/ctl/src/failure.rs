//! How the tool fails, with its exit codes. They are in `gantry --help`.

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something broke on the way, or the daemon refused.
    #[error("{0}")]
    Failed(String),
    /// Nobody answers on the socket, or not yet: trying again may help.
    #[error("{0}")]
    Unreachable(String),
    /// `wait` waited long enough.
    #[error("{0}")]
    TimedOut(String),
    /// Our reader closed its end.
    #[error("the reader is gone")]
    ReaderGone,
}

impl Failure {
    /// For the shell.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed(_) => 1,
            Self::Unreachable(_) => 3,
            Self::TimedOut(_) => 4,
        }
    }
}
