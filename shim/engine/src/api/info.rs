//! What the daemon is and has.

use std::collections::BTreeSet;

use gantry_model::image::Origin;
use gantry_model::operation::OperationView;
use gantry_model::plugin::{PluginInfo, PluginKind, PluginStatus};
use gantry_model::state::State;
use gantry_model::{Error, Result};

use crate::{Engine, EngineConfig, effect};

/// Figures for `docker info` and CRI's status.
#[derive(Clone, Debug)]
pub struct Info {
    /// Settings.
    pub config: EngineConfig,
    /// Stand-alone containers that run.
    pub running: usize,
    /// That are paused.
    pub paused: usize,
    /// All others.
    pub stopped: usize,
    /// Images.
    pub images: usize,
    /// The network plugin for pods is loaded.
    pub network_ready: bool,
    /// Why not.
    pub network_reason: String,
}

impl Engine {
    /// Figures, from memory.
    pub fn info(&self) -> Info {
        let states: Vec<State> = self
            .containers(Some(Origin::Docker))
            .iter()
            .map(|container| container.state)
            .collect();
        let count = |wanted: State| states.iter().filter(|state| **state == wanted).count();
        let (running, paused) = (count(State::Running), count(State::Paused));
        let images: BTreeSet<String> = {
            let tables = self.inner.ledger.read();
            tables
                .image_names
                .values()
                .map(|name| name.target.digest.clone())
                .collect()
        };
        let network = effect::network::find(&self.inner, &self.inner.config.default_network)
            .and_then(|network| self.network_serves(&network.spec.driver));
        Info {
            config: self.inner.config.clone(),
            running,
            paused,
            stopped: states.len() - running - paused,
            images: images.len(),
            network_ready: network.is_ok(),
            network_reason: network.err().map(|error| error.message).unwrap_or_default(),
        }
    }

    /// Whether a network driver is there and takes calls: one that panicked, or whose process crashed once too often,
    /// does not.
    fn network_serves(&self, name: &str) -> Result<()> {
        self.inner.drivers.network(name)?;
        let all = self.inner.drivers.list();
        let is_it = |one: &&PluginInfo| one.kind == PluginKind::Network && one.name == name;
        match all.iter().find(is_it) {
            Some(one) if one.status != PluginStatus::Active => Err(Error::unavailable(format!(
                "network plugin {name:?} does not serve: {}",
                one.reason
            ))),
            _ => Ok(()),
        }
    }

    /// All plugins.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.inner.drivers.list()
    }

    /// Lifts a plugin's quarantine; what was stuck is tried again. Blocks while the plugin is opened.
    ///
    /// # Errors
    /// `NotFound`, `FailedPrecondition` when it is not in quarantine.
    pub fn release_plugin(&self, kind: PluginKind, name: &str) -> Result<PluginInfo> {
        let info = self.inner.drivers.release(kind, name)?;
        self.serves_again(kind, name);
        Ok(info)
    }

    /// Unfinished operations, oldest first, with what each waits for.
    pub fn operations(&self) -> Vec<OperationView> {
        self.inner.unfinished()
    }

    /// Cancels an unfinished operation, named by its id or the beginning of it. Its caller is told `Cancelled`; what it
    /// had done is undone.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` for a beginning of several, `FailedPrecondition` when nobody works on it.
    pub fn cancel_operation(&self, reference: &str) -> Result<OperationView> {
        self.inner.cancel_work(reference)
    }
}
