//! One container as `docker ps` is given it.

use gantry_engine::Engine;
use gantry_model::Timestamp;
use gantry_model::container::Container;
use gantry_model::policy::HealthStatus;
use serde_json::{Value, json};

use super::door_data::DoorData;
use super::network_settings::{endpoints, networks, published};
use super::{mounts, ports, status_text};
use crate::version::ApiVersion;

/// A line of the list.
pub(crate) fn summary(
    engine: &Engine,
    container: &Container,
    data: &DoorData,
    health: HealthStatus,
    now: Timestamp,
    version: ApiVersion,
) -> Value {
    let endpoints = endpoints(engine, container);
    let ports = if !endpoints.is_empty() {
        ports::as_list(&published(&endpoints), data.exposed())
    } else {
        Vec::new()
    };
    let mut shown = json!({
        "Id": container.id.as_str(),
        "Names": [format!("/{}", container.name)],
        "Image": container.spec.image,
        "ImageID": container.image.digest,
        "Command": command(data),
        "Created": container.created_at.seconds(),
        "Ports": ports,
        "Labels": container.spec.labels,
        "State": status_text::word(container),
        "Status": status_text::status(container, health, now),
        "HostConfig": { "NetworkMode": data.host_config.get("NetworkMode").cloned().unwrap_or_else(|| json!("")) },
        "NetworkSettings": { "Networks": networks(engine, data, &endpoints) },
        "Mounts": mounts::shown(container),
    });
    if version >= ApiVersion::one(48) {
        shown["ImageManifestDescriptor"] = super::image::descriptor(&container.image);
    }
    shown
}

/// Program and arguments in one line; arguments with spaces in quotes, as Docker shows them.
fn command(data: &DoorData) -> String {
    let mut text = data.path.clone();
    for arg in &data.args {
        text.push(' ');
        if arg.contains(' ') {
            text.push('\'');
            text.push_str(arg);
            text.push('\'');
        } else {
            text.push_str(arg);
        }
    }
    text
}
