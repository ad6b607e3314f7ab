//! What can go wrong while logging and tracing are set up.

/// Errors of this crate. None of them happens after start but [`Error::Filter`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filter does not parse.
    #[error("read log filter {filter:?}: {reason}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `OTEL_*` asks for something this build does not have.
    #[error("{variable}={value} is not supported: {hint}")]
    Unsupported {
        /// The variable's name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What works instead.
        hint: &'static str,
    },
    /// The exporter could not be made, usually for a malformed endpoint.
    #[error("set up the span exporter for {endpoint}: {reason}")]
    Exporter {
        /// Where spans should have gone.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },
    /// Somebody has set a global subscriber before.
    #[error("a global tracing subscriber is already set")]
    AlreadySet,
    /// The subscriber the handle belongs to is gone.
    #[error("change the log filter after logging was shut down")]
    Gone,
}
