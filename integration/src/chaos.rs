//! Random work through both doors while the daemon is killed: every client knows, after each answer, what must be true,
//! and looks whether it is after the next start.
//!
//! Each client owns its objects (no two ever touch the same container), so what it knows needs no ordering between
//! clients; what they share are images' content, the driver's addresses and the daemon itself. A request that was cut
//! off has two outcomes: looking decides which, and anything in between is a contradiction.

pub mod archive;
pub mod clear;
pub mod client;
pub mod containers;
pub mod door;
pub mod facts;
pub mod objects;
pub mod plan;
pub mod pods;
pub mod programs;
mod quarantine;
pub mod random;
pub mod round;
pub mod streams;
pub mod trail;
