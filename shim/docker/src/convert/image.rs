//! Images as lists and inspect show them, in the form of dockerd with its containerd store: the id is the name's target.

use std::collections::BTreeSet;

use gantry_engine::ImageView;
use gantry_model::image::{Descriptor, ImageConfig};
use gantry_model::reference::Reference;
use serde_json::{Map, Value, json};

use super::time::unix_seconds;
use crate::version::ApiVersion;

/// What a name points to.
pub(crate) fn descriptor(target: &Descriptor) -> Value {
    json!({ "mediaType": target.media_type, "digest": target.digest, "size": target.size })
}

/// `RepoTags` and `RepoDigests`.
pub(crate) fn names(view: &ImageView) -> (Vec<String>, Vec<String>) {
    let mut tags = Vec::new();
    let mut digests = BTreeSet::new();
    for name in &view.names {
        let Ok(reference) = Reference::parse(&name.name) else {
            continue;
        };
        if reference.digest().is_none() {
            tags.push(reference.familiar());
        }
        digests.insert(format!(
            "{}@{}",
            reference.familiar_name(),
            name.target.digest
        ));
    }
    tags.sort();
    (tags, digests.into_iter().collect())
}

/// Bytes on disk: packed and unpacked content.
fn size(view: &ImageView) -> u64 {
    view.details
        .content_size
        .saturating_add(view.details.unpacked_size)
}

/// A line of the list.
pub(crate) fn summary(view: &ImageView, version: ApiVersion) -> Value {
    let (tags, digests) = names(view);
    let details = &view.details;
    let mut shown = json!({
        "Id": details.target.digest,
        "ParentId": "",
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": unix_seconds(&details.created),
        "Size": size(view),
        "SharedSize": -1,
        "Labels": if details.config.labels.is_empty() { Value::Null } else { json!(details.config.labels) },
        "Containers": view.containers,
    });
    if version < ApiVersion::one(44) {
        shown["VirtualSize"] = json!(size(view));
    }
    if version >= ApiVersion::one(48) {
        shown["Descriptor"] = descriptor(&details.target);
    }
    shown
}

/// Everything of one image.
pub(crate) fn inspected(view: &ImageView, snapshotter: &str, version: ApiVersion) -> Value {
    let (tags, digests) = names(view);
    let details = &view.details;
    let config = config(&details.config, version);
    let mut shown = json!({
        "Id": details.target.digest,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": "",
        "Created": details.created,
        "DockerVersion": "",
        "Author": details.author,
        "Config": config,
        // Newer clients pass over it; docker-compose 1.29 reads it in every version.
        "ContainerConfig": config,
        "Architecture": details.architecture,
        "Os": details.os,
        "Size": size(view),
        "GraphDriver": { "Data": null, "Name": snapshotter },
        "RootFS": { "Type": "layers", "Layers": details.diff_ids },
        "Metadata": { "LastTagTime": last_tagged(view) },
    });
    if !details.variant.is_empty() {
        shown["Variant"] = json!(details.variant);
    }
    if version < ApiVersion::one(44) {
        shown["VirtualSize"] = json!(size(view));
    }
    if version >= ApiVersion::one(48) {
        shown["Descriptor"] = descriptor(&details.target);
    }
    shown
}

fn last_tagged(view: &ImageView) -> String {
    view.names
        .iter()
        .map(|name| name.updated_at)
        .max()
        .unwrap_or_default()
        .rfc3339()
}

fn config(config: &ImageConfig, version: ApiVersion) -> Value {
    let set = |keys: &BTreeSet<String>| -> Value {
        if keys.is_empty() {
            Value::Null
        } else {
            Value::Object(keys.iter().map(|key| (key.clone(), json!({}))).collect())
        }
    };
    let mut shown = Map::new();
    if version < ApiVersion::one(50) {
        // Fields of a container that images never had a use for; gone from 1.50 on.
        let old = json!({
            "Hostname": "", "Domainname": "", "AttachStdin": false, "AttachStdout": false, "AttachStderr": false,
            "Tty": false, "OpenStdin": false, "StdinOnce": false, "Image": "",
        });
        shown.extend(old.as_object().cloned().unwrap_or_default());
    }
    let fields = json!({
        "User": config.user,
        "Env": config.env,
        "Cmd": config.cmd,
        "Volumes": set(&config.volumes),
        "WorkingDir": config.working_dir,
        "Entrypoint": config.entrypoint,
        "OnBuild": null,
        "Labels": if config.labels.is_empty() { Value::Null } else { json!(config.labels) },
    });
    shown.extend(fields.as_object().cloned().unwrap_or_default());
    if !config.exposed_ports.is_empty() {
        shown.insert("ExposedPorts".into(), set(&config.exposed_ports));
    }
    if !config.stop_signal.is_empty() {
        shown.insert("StopSignal".into(), json!(config.stop_signal));
    }
    if let Ok(check) = serde_json::from_str::<Value>(&config.healthcheck)
        && check.is_object()
    {
        shown.insert("Healthcheck".into(), check);
    }
    Value::Object(shown)
}

/// The history entries, newest first, as `docker history` wants them.
pub(crate) fn history(view: &ImageView) -> Vec<Value> {
    let entries: Vec<Value> = serde_json::from_str(&view.details.history).unwrap_or_default();
    let (tags, _) = names(view);
    let count = entries.len();
    let mut shown: Vec<Value> = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let last = index + 1 == count;
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            json!({
                "Id": if last { view.details.target.digest.as_str() } else { "<missing>" },
                "Created": unix_seconds(&text("created")),
                "CreatedBy": text("created_by"),
                "Tags": if last && !tags.is_empty() { json!(tags) } else { Value::Null },
                // Sizes of single layers are not kept.
                "Size": 0,
                "Comment": text("comment"),
            })
        })
        .collect();
    shown.reverse();
    shown
}
