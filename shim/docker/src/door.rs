//! What every handler is given: the engine, the settings and the facts of the host.

use gantry_engine::Engine;
use gantry_model::image::Origin;

use crate::config::DockerConfig;
use crate::host::Host;

/// The Docker Engine API over one engine.
pub struct DockerDoor {
    pub(crate) engine: Engine,
    pub(crate) config: DockerConfig,
    pub(crate) host: Host,
    /// Held while containers are pruned: one at a time.
    pub(crate) pruning: tokio::sync::Mutex<()>,
}

impl DockerDoor {
    /// A door to this engine. Reads a few files below /proc and /etc.
    pub fn new(engine: Engine, config: DockerConfig) -> Self {
        Self {
            engine,
            config,
            host: Host::read(),
            pruning: tokio::sync::Mutex::default(),
        }
    }

    /// Whose containers are shown.
    pub(crate) fn shown(&self) -> Option<Origin> {
        (!self.config.show_all).then_some(Origin::Docker)
    }
}
