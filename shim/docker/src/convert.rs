//! Docker's JSON to the model and back. Pure but for the clock handed in.

pub(crate) mod body;
pub(crate) mod container;
pub(crate) mod create;
pub(crate) mod door_data;
pub(crate) mod event;
pub(crate) mod filters;
pub(crate) mod health;
pub(crate) mod host_config;
pub(crate) mod image;
pub(crate) mod inspect;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod mounts;
pub(crate) mod network;
pub(crate) mod network_settings;
pub(crate) mod ports;
pub(crate) mod processes;
pub(crate) mod restart;
pub(crate) mod security;
pub(crate) mod stats;
pub(crate) mod status_text;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod time;
pub(crate) mod update;
pub(crate) mod volume;
