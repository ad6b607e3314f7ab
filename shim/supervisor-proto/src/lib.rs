//! The words gantryd and its supervisors speak: frames, requests, answers, events, and the files both read.
//!
//! Supervisors live for months while daemons are upgraded and rolled back, so this grows by optional fields only:
//! unknown fields are ignored, missing ones have defaults, an unknown request is answered `unimplemented`. A recorded
//! transcript per release (`transcripts/`) is decoded by a test. No policy here, and no async runtime.

pub mod error;
pub mod files;
pub mod frame;
pub mod message;
pub mod state_file;
pub mod stream;
pub mod types;

pub use error::{ErrorKind, WireError};
pub use message::{Event, Reply, Request};

/// Version of the protocol this code speaks. It only changes when an old peer could not go on.
pub const VERSION: u32 = 1;
