//! Writes a Gantry plugin in safe Rust: implement [`Driver`] and the trait of one kind, then call [`export_plugin!`].
//!
//! ```text
//! struct Dir;
//! impl gantry_sdk::Driver for Dir { … }
//! impl gantry_sdk::Volume for Dir { … }
//! gantry_sdk::export_plugin! { kind: volume, name: "dir", driver: Dir }
//! ```
//!
//! This crate turns C calls into trait calls: it parses requests, refuses fields that must be understood and are not,
//! contains panics and owns every buffer that crosses the border. It knows nothing of any driver's work, and a plugin
//! built on it needs no `unsafe` of its own.
#![allow(unsafe_code)] // the border to C; see the SAFETY lines

mod call;
mod driver;
mod error;
#[doc(hidden)]
pub mod export;
mod host;
pub mod network;
pub mod snapshot;
pub mod volume;

pub use call::Call;
pub use driver::Driver;
pub use error::{Error, ErrorCode, Result};
pub use gantry_abi::schema::{
    Empty, FdIndex, InitRequest, InstanceInfo, Labels, MountSpec, State, Usage,
};
pub use host::{Host, Level};
pub use network::Network;
pub use snapshot::Snapshotter;
pub use volume::Volume;
