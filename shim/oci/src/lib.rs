//! The built-in OCI runtime: a runtime-spec configuration becomes a contained process.
//!
//! Made for a caller with one thread and a poll loop: [`create`] and [`exec`] return at once with a [`Pending`] whose
//! descriptor becomes readable when the child has something to say. Everything slow (mounts, name look-ups) happens
//! in that child. Nothing here waits, keeps state, or knows of images, sandboxes or logs.
//!
//! The caller **must be single-threaded**: the child is a copy of it and allocates before it executes.
//!
//! Invariant: no path of a container is resolved by string; targets are opened beneath its root by descriptor.

mod child;
pub mod cli;
mod create;
mod error;
mod exec;
pub mod foreign;
pub mod hooks;
mod launch;
mod pending;
mod resources;
mod users;

pub use create::create;
pub use error::{FailureKind, LaunchError};
pub use exec::exec;
pub use launch::{ExecLaunch, Join, Launch, MountDesc, Placement, Rootfs, Stdio};
pub use pending::{Pending, Progress, Ready};
pub use resources::{limits, update_limits};
