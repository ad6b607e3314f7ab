//! The words of Gantry: ids, specs, states, events, error kinds, and the traits of what the engine needs.
//!
//! Invariant: no I/O happens here and no protocol is known here. A door converts its requests into these types; a
//! driver, the image service and the supervisor client implement the traits in [`driver`], [`image`] and
//! [`supervisor`].

pub mod call;
pub mod container;
pub mod digest;
pub mod driver;
pub mod error;
pub mod event;
pub mod filter;
pub mod handler;
pub mod id;
pub mod image;
pub mod mount;
pub mod network;
pub mod operation;
pub mod plugin;
pub mod policy;
pub mod reference;
pub mod sandbox;
pub mod state;
pub mod supervisor;
pub mod time;
pub mod volume;
mod written;

pub use error::{Error, ErrorKind, Result};
pub use id::{ContainerId, EndpointId, ExecId, NetworkId, OperationId, SandboxId};
pub use time::Timestamp;
