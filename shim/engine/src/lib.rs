//! The engine: owner tasks, operations, policies and recovery.
//!
//! Invariant: no protocol is known here, no file is touched and no process is made here. Doors call [`Engine`];
//! drivers, images, supervisors and the host's clock and files come in through traits.

mod api;
mod change;
mod config;
mod effect;
mod events;
mod exec;
mod handler;
mod health;
mod host;
mod image_removal;
mod inner;
mod late;
mod ledger;
mod names;
mod networks;
mod owner;
mod pods;
mod recovery;
mod sampler;
mod signal;
#[cfg(test)]
mod testing;
mod validate;
mod wait;
mod work;

pub use api::container::{
    CreateContainer, RemoveContainer, UpdateContainer, WaitCondition, Waited,
};
pub use api::event::{EventStream, NextEvent};
pub use api::exec::{ExecOutput, ExecSpec, ExecView};
pub use api::image::{ImageView, RemovedImage};
pub use api::info::Info;
pub use api::network::{Member, NetworkView};
pub use api::volume::CreateVolume;
pub use config::EngineConfig;
pub use health::image_health;
pub use host::Host;
pub use sampler::{Sample, Samples, StatsUpdate, StatsWatch};

use std::sync::Arc;

use gantry_model::driver::Drivers;
use gantry_model::image::ImageService;
use gantry_model::supervisor::SupervisorService;
use gantry_model::{Error, Result};
use gantry_store::Store;

use crate::inner::Inner;
use crate::ledger::Ledger;

/// The one engine of a daemon. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// What an engine is made of.
pub struct Parts {
    /// Settings.
    pub config: EngineConfig,
    /// Database.
    pub store: Store,
    /// Drivers.
    pub drivers: Arc<dyn Drivers>,
    /// Images.
    pub images: Arc<dyn ImageService>,
    /// Supervisors.
    pub supervisors: Arc<dyn SupervisorService>,
    /// Clock, randomness, small files.
    pub host: Arc<dyn Host>,
}

impl Engine {
    /// Reads the records and finds out what is true. When this returns the doors may open.
    ///
    /// # Errors
    /// The database or the run folder cannot be read.
    pub async fn open(parts: Parts) -> Result<Self> {
        let loaded = Ledger::load(parts.store)?;
        for record in loaded.damaged {
            tracing::error!(record, "a record is damaged and left out");
        }
        let inner = Arc::new(Inner {
            config: parts.config,
            ledger: loaded.ledger,
            unreadable: loaded.unreadable,
            drivers: parts.drivers,
            images: parts.images,
            supervisors: parts.supervisors,
            host: parts.host,
            owners: Default::default(),
            execs: Default::default(),
            health: Default::default(),
            sampler: Default::default(),
            reserved: Default::default(),
            gate: Default::default(),
            collect_wanted: Default::default(),
            work: Default::default(),
            holds: Default::default(),
        });
        inner.health.restore(loaded.health);
        recovery::run(&inner).await?;
        sampler::begin(&inner);
        Ok(Self { inner })
    }
}

/// Runs work in a task of its own, so that a caller that goes away leaves nothing half done.
pub(crate) async fn run_to_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal(format!(
            "the work on this request ended in a panic: {error}"
        ))),
    }
}
