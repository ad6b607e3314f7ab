//! The engine's drivers, by plugins: threads, locks, deadlines, quarantine and the conversion between the engine's words
//! and the payloads of the interface. In this process through the loader, or in a runner's.
//!
//! Invariant: knows kinds, never drivers. Nothing here may depend on which plugin answers.
//!
//! What a call goes through: the object's lock → a thread of the plugin's pool → the mark on disk → the C call. Past its
//! deadline the caller gets `Unknown` and goes; the call keeps the lock until it returns, and its answer is then handed
//! to whoever took [`PluginHost::late`]. Until then another call on the object is refused at once, with its name.

mod backend;
mod config;
mod convert;
mod drivers;
mod flights;
mod host;
mod locks;
mod plugin;
mod pool;
mod quarantine;
mod services;
mod told;

pub use config::HostConfig;
pub use gantry_model::plugin::LateResult;
pub use gantry_plugin_loader::Trust;
pub use host::{LoadError, PluginHost};
