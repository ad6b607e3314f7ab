//! Starts, finds and speaks to supervisors: the model's supervisor traits over each one's socket.
//!
//! Invariant: a supervisor that does not answer is `Unavailable`, never exited; only its free lock or its ended process
//! says that it is gone. Nothing is kept here that is not also in the supervisor's own files.

mod attach;
mod convert;
mod discard;
mod link;
#[cfg(test)]
mod old_release;
mod recover;
mod service;
mod shim;
mod spawn;

pub use service::{Config, Supervisors};
