//! Volumes as answers show them.

use gantry_model::volume::Volume;
use serde_json::{Value, json};

/// The label of a volume nobody gave a name.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// One volume.
pub(crate) fn shown(volume: &Volume) -> Value {
    let mut labels = volume.labels.clone();
    if volume.anonymous {
        labels.insert(ANONYMOUS.to_owned(), String::new());
    }
    json!({
        "CreatedAt": volume.created_at.rfc3339(),
        "Driver": volume.driver,
        "Labels": if labels.is_empty() { Value::Null } else { json!(labels) },
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": if volume.options.is_empty() { Value::Null } else { json!(volume.options) },
        "Scope": "local",
    })
}
