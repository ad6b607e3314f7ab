//! The Docker Engine API door: reads a request, calls the engine, writes the answer.
//!
//! It keeps no state of its own but the facts of the host read at start-up. It must not know the CRI door, a driver, or
//! anything of the engine but its public methods.
#![recursion_limit = "256"]

mod config;
mod containers;
mod convert;
mod door;
mod exec;
mod host;
mod images;
mod networks;
mod plugins;
mod query;
mod request;
mod response;
mod route;
mod server;
mod status;
mod streaming;
mod system;
mod version;
mod volumes;

pub use config::DockerConfig;
pub use door::DockerDoor;
pub use server::serve;
pub use version::ApiVersion;
