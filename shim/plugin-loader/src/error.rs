//! Why a library was not loaded.

use std::io;
use std::path::PathBuf;

/// What this crate answers.
pub type Result<T, E = LoadError> = std::result::Result<T, E>;

/// Why a library was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A system call failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Somebody other than its owner and root could have put the file, or a folder above it, there.
    #[error("refuse {}: {why}", path.display())]
    Untrusted {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Not a shared library of this machine.
    #[error("read {}: not a shared library of this machine: {why}", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A shared library, but not a plugin.
    #[error("read {}: no gantry note, so it is not a plugin", path.display())]
    NoNote {
        /// The file.
        path: PathBuf,
    },
    /// Built for another major version.
    #[error("load {}: built for interface {found}, this host has {wanted}", path.display())]
    WrongMajor {
        /// The file.
        path: PathBuf,
        /// Major version of the plugin.
        found: u32,
        /// Major version of this host.
        wanted: u32,
    },
    /// `dlopen` refused it.
    #[error("open {}: {why}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the dynamic linker said.
        why: String,
    },
    /// It broke the rules of the interface.
    #[error("load {}: {why}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Which rule.
        why: String,
    },
}

impl LoadError {
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Io {
            what,
            path: path.into(),
            source: source.into(),
        }
    }
}
