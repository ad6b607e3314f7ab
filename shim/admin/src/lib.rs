//! The admin door: what the `gantry` tool asks of its daemon, as HTTP/1 and JSON on `gantry.sock`. It shows what is
//! there; what it changes is how much is logged, an operation that is to stop, and a plugin's quarantine.
//!
//! Only one user may talk to it, root unless the daemon says otherwise: the socket's mode keeps others out, and the
//! peer's credentials are checked for the case that somebody changed the mode.
//!
//! Invariant: no containers are made or ended here, that is the other doors' work; and nothing here is kept stable for
//! programs other than `gantry` of the same version or the one before.

mod answer;
mod containers;
mod events;
mod log_level;
mod operations;
mod plugins;
mod ready;
mod routes;
mod sandboxes;
mod serve;
#[cfg(test)]
mod tests;
mod version;

pub use serve::serve;

use std::sync::Arc;

use gantry_engine::Engine;
use gantry_model::Result;
use tokio::sync::watch;

/// Replaces the log filter and answers the one then in force.
pub type SetLogFilter = Arc<dyn Fn(&str) -> Result<String> + Send + Sync>;

/// What the daemon tells the door.
#[derive(Clone)]
pub struct AdminConfig {
    /// Version of the daemon.
    pub version: String,
    /// The user who may talk to it: 0.
    pub allowed_uid: u32,
    /// Becomes true when all doors serve.
    pub ready: watch::Receiver<bool>,
    /// Changes the log filter.
    pub set_log_filter: SetLogFilter,
}

/// What every handler is given.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) engine: Engine,
    pub(crate) config: AdminConfig,
}
