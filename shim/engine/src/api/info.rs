//! What the daemon is and has.

use gantry_model::operation::Operation;
use gantry_model::plugin::PluginInfo;

use crate::{Engine, EngineConfig};

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
        unreachable!("being written")
    }

    /// All plugins.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        Vec::new()
    }

    /// Unfinished operations, oldest first.
    pub fn operations(&self) -> Vec<Operation> {
        Vec::new()
    }
}
