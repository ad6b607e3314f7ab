//! One container as `docker inspect` is given it.

use gantry_engine::Engine;
use gantry_model::container::Container;
use gantry_model::policy::Health;
use gantry_model::state::State;
use gantry_model::{ExecId, Timestamp};
use serde_json::{Value, json};

use super::door_data::DoorData;
use super::{health, mounts, network_settings, status_text};
use crate::version::ApiVersion;

/// All of it.
pub(crate) fn container(
    engine: &Engine,
    container: &Container,
    version: ApiVersion,
    execs: &[ExecId],
    health: &Health,
) -> Value {
    let data = DoorData::of(container);
    let mut config = data.config.clone();
    if let Some(config) = config.as_object_mut()
        && config.get("Hostname").is_some_and(|name| name == "")
        && !container.spec.host_uts
    {
        config.insert("Hostname".into(), json!(container.id.short()));
    }
    let mut shown = json!({
        "Id": container.id.as_str(),
        "Created": container.created_at.rfc3339(),
        "Path": data.path,
        "Args": data.args,
        "State": state(container, health),
        "Image": container.image.digest,
        "ResolvConfPath": container.resolv_path,
        "HostnamePath": container.hostname_path,
        "HostsPath": container.hosts_path,
        "LogPath": container.log_path,
        "Name": format!("/{}", container.name),
        "RestartCount": container.restart.count,
        "Driver": container.snapshotter,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": container.spec.security.apparmor,
        "ExecIDs": if execs.is_empty() { Value::Null } else { json!(execs) },
        "HostConfig": data.host_config,
        "GraphDriver": { "Data": null, "Name": container.snapshotter },
        "Mounts": mounts::shown(container),
        "Config": config,
        "NetworkSettings": network_settings::settings(engine, container, &data),
    });
    if version >= ApiVersion::one(48) {
        shown["ImageManifestDescriptor"] = super::image::descriptor(&container.image);
    }
    shown
}

fn state(container: &Container, health: &Health) -> Value {
    let run = container.run.as_ref();
    let last = container.last_exit();
    let live = container.state.is_live();
    let exit = last.filter(|_| !live);
    let error = match container.state {
        State::Unknown => "the container's supervisor does not answer",
        _ => run.map_or("", |run| &run.error),
    };
    let mut shown = json!({
        "Status": status_text::word(container),
        "Running": status_text::runs(container),
        "Paused": container.state == State::Paused,
        "Restarting": status_text::restarting(container),
        "OOMKilled": exit.is_some_and(|exit| exit.oom),
        "Dead": false,
        "Pid": run.filter(|_| live).map_or(0, |run| run.pid),
        "ExitCode": exit.map_or(0, |exit| exit.code),
        "Error": error,
        "StartedAt": run.map_or(Timestamp(0), |run| run.started_at).rfc3339(),
        "FinishedAt": last.map_or(Timestamp(0), |exit| exit.at).rfc3339(),
    });
    if let Some(health) = health::state(health) {
        shown["Health"] = health;
    }
    shown
}
