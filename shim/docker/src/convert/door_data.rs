//! What this door keeps with a container to answer inspect and lists, in `Container::door_data`.

use std::collections::BTreeMap;

use gantry_model::container::Container;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Kept as JSON; fields may only be added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DoorData {
    /// `Config` as inspect shows it: the client's over the image's.
    pub(crate) config: Value,
    /// `HostConfig` as inspect shows it.
    pub(crate) host_config: Value,
    /// Program.
    pub(crate) path: String,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Networks asked for, with what was asked of each.
    pub(crate) networks: BTreeMap<String, Value>,
}

impl DoorData {
    /// Of this container; empty for one that another door made.
    pub(crate) fn of(container: &Container) -> Self {
        serde_json::from_str(&container.door_data).unwrap_or_default()
    }

    /// Exposed ports, `80/tcp`.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = &str> {
        self.config["ExposedPorts"]
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys().map(String::as_str))
    }
}
