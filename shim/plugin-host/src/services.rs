//! What this host does for its plugins.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use gantry_plugin_loader::{HostServices, Level};

/// Services of one plugin in this process.
pub(crate) struct Services {
    /// `kind/name`.
    pub(crate) plugin: String,
    /// The plugin's own folder of secrets.
    pub(crate) secrets: PathBuf,
}

impl HostServices for Services {
    fn log(&self, operation: Option<&str>, level: Level, message: &str) {
        log(&self.plugin, operation, level, message);
    }

    fn progress(&self, operation: Option<&str>, json: &[u8]) {
        tracing::debug!(plugin = self.plugin, operation, progress = %String::from_utf8_lossy(json), "plugin progress");
    }

    fn secret(&self, name: &str) -> io::Result<Vec<u8>> {
        gantry_plugin_runner::secret(&self.secrets, name)
    }

    fn netns_socket(
        &self,
        netns: BorrowedFd<'_>,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> io::Result<OwnedFd> {
        gantry_sys::netns_socket::open(netns, domain, kind, protocol)
            .map_err(|error| io::Error::from_raw_os_error(error.errno() as i32))
    }
}

/// A plugin's line in our log.
pub(crate) fn log(plugin: &str, operation: Option<&str>, level: Level, message: &str) {
    match level {
        Level::Error => tracing::error!(plugin, operation, "{message}"),
        Level::Warn => tracing::warn!(plugin, operation, "{message}"),
        Level::Info => tracing::info!(plugin, operation, "{message}"),
        Level::Debug => tracing::debug!(plugin, operation, "{message}"),
    }
}
