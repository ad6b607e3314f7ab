//! The engine: owner tasks, operations, policies and recovery.
//!
//! Invariant: no protocol is known here, no file is touched and no process is made here. Doors call [`Engine`];
//! drivers, images, supervisors and the host's clock and files come in through traits.

mod api;
mod config;
mod host;

pub use api::container::{CreateContainer, Created, RemoveContainer, WaitCondition, Waited};
pub use api::event::EventStream;
pub use api::exec::{ExecOutput, ExecSpec, ExecView};
pub use api::image::{ImageView, RemovedImage};
pub use api::info::Info;
pub use api::network::NetworkView;
pub use api::volume::CreateVolume;
pub use config::EngineConfig;
pub use host::Host;

use std::sync::Arc;

/// The one engine of a daemon. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {}
