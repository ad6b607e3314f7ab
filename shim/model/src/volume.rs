//! Volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A volume's record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Unique name over all drivers.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Driver's options it was made with.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// User's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Made without a name.
    #[serde(default)]
    pub anonymous: bool,
    /// The image's content was copied in, or need not be.
    #[serde(default)]
    pub filled: bool,
    /// Path on the host for people; empty if the driver has none.
    #[serde(default)]
    pub mountpoint: String,
    /// The driver has acknowledged it.
    #[serde(default)]
    pub made: bool,
    /// Driver's opaque state.
    #[serde(default)]
    pub state: crate::plugin::PluginState,
}
