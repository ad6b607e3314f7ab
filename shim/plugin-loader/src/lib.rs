//! Finds, checks, opens and calls plugin libraries: the only user of libloading. Knows the C interface and nothing of
//! any kind of driver; threads, locks, deadlines and quarantine are `gantry-plugin-host`'s.
//!
//! The way of a library: [`find`] (by descriptor, no symlinks, owners and modes, the ELF note) → [`Found::copy`] (a copy
//! named by its digest is opened, never the file itself) → [`Copied::open`] → [`Library::open`] → [`Instance::call`]. Nothing is unloaded.
#![allow(unsafe_code)] // dlopen and calls through a C table; see the SAFETY lines

mod clock;
pub mod crash;
mod elf;
mod error;
mod find;
mod instance;
mod library;
mod services;
mod store;
mod walk;

pub use clock::monotonic_ms;
pub use elf::Identity;
pub use error::{LoadError, Result};
pub use find::{Candidate, Copied, Found, find};
pub use instance::{Descriptor, Instance, Invocation, Reply};
pub use library::Library;
pub use services::{HostServices, Level};
pub use walk::Trust;
