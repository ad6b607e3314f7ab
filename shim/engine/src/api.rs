//! What the doors call, one file per subject.

pub(crate) mod container;
pub(crate) mod event;
pub(crate) mod exec;
pub(crate) mod image;
pub(crate) mod info;
pub(crate) mod network;
pub(crate) mod sandbox;
pub(crate) mod usage;
pub(crate) mod volume;
