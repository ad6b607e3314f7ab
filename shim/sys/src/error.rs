//! The one error of this crate: what was tried, on which object, and the kernel's errno.

use nix::errno::Errno;

/// Result of a call into the kernel.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed system call: `what` is a lower-case phrase naming action and object.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {}", errno.desc())]
pub struct Error {
    what: String,
    errno: Errno,
}

impl Error {
    /// Joins the phrase with the errno.
    pub fn new(what: impl Into<String>, errno: Errno) -> Self {
        Self {
            what: what.into(),
            errno,
        }
    }

    /// Takes the errno of the calling thread.
    pub fn last(what: impl Into<String>) -> Self {
        Self::new(what, Errno::last())
    }

    /// From an `io::Error`; one without an OS code becomes `EIO`.
    pub fn from_io(what: impl Into<String>, error: &std::io::Error) -> Self {
        Self::new(
            what,
            Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32)),
        )
    }

    /// The errno, for decisions (never decide by the text).
    #[must_use]
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// What was tried, without the errno.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The same failure seen from a caller that knows the object better.
    #[must_use]
    pub fn within(self, context: &str) -> Self {
        Self {
            what: format!("{context}: {}", self.what),
            errno: self.errno,
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = std::io::Error::from(error.errno).kind();
        std::io::Error::new(kind, error)
    }
}
