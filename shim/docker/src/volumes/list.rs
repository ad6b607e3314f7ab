//! `GET /volumes`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::convert::filters::Filters;
use crate::convert::volume;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, ok};

const KEYS: &[&str] = &["dangling", "driver", "label", "name"];

/// Lists volumes, by name.
pub(crate) async fn list(door: Arc<DockerDoor>, req: Req) -> Answer {
    let filters = Filters::read(&req.query, KEYS)?;
    let dangling = filters.boolean("dangling")?;
    let containers = door.engine.containers(None);
    let used: BTreeSet<&str> = containers
        .iter()
        .flat_map(|container| container.volumes.iter().map(|volume| volume.name.as_str()))
        .collect();
    let lines: Vec<Value> = door
        .engine
        .volumes()
        .iter()
        .filter(|one| dangling.is_none_or(|dangling| dangling != used.contains(one.name.as_str())))
        .filter(|one| filters.exact("driver", &one.driver))
        .filter(|one| filters.fits("name", &[&one.name]))
        .filter(|one| filters.labels(&one.labels))
        .map(|one| volume::shown(one))
        .collect();
    ok(&json!({ "Volumes": lines, "Warnings": null }))
}
