//! The engine's driver traits over a plugin, one file a kind.

mod network;
mod snapshotter;
mod volume;

use std::sync::Arc;

use crate::plugin::Plugin;

/// A plugin as a driver of its kind.
pub(crate) struct Driver(pub(crate) Arc<Plugin>);
