//! What the daemon tells the door at its start.

use crate::version::{ApiVersion, FLOOR};

/// Settings of the door.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// Version of the daemon, as clients are shown it.
    pub server_version: String,
    /// Revision it was built from; may be empty.
    pub git_commit: String,
    /// Oldest API version that is served (`[docker] min_api`).
    pub min_api: ApiVersion,
    /// Show CRI's containers in lists too.
    pub show_all: bool,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            git_commit: String::new(),
            min_api: FLOOR,
            show_all: false,
        }
    }
}
