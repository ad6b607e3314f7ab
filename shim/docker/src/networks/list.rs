//! `GET /networks`.

use std::collections::BTreeSet;
use std::sync::Arc;

use gantry_model::network::Network;
use serde_json::Value;

use crate::convert::door_data::DoorData;
use crate::convert::filters::Filters;
use crate::convert::network;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, ok};

const KEYS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

/// Lists networks, by name.
pub(crate) async fn list(door: Arc<DockerDoor>, req: Req) -> Answer {
    let filters = Filters::read(&req.query, KEYS)?;
    let dangling = filters.boolean("dangling")?;
    let used = used(&door);
    let mut lines = Vec::new();
    for one in door.engine.networks() {
        let shown = network::shown(&one);
        let driver = shown["Driver"].as_str().unwrap_or_default();
        let is_used =
            one.predefined || used.contains(&one.spec.name) || used.contains(one.id.as_str());
        if filters.fits("name", &[&one.spec.name])
            && filters.fits("id", &[one.id.as_str()])
            && filters.exact("driver", driver)
            && filters.exact("scope", "local")
            && filters.any("type", |kind| kind == kind_of(&one))
            && filters.labels(&one.spec.labels)
            && dangling.is_none_or(|dangling| dangling != is_used)
        {
            lines.push(shown);
        }
    }
    ok(&Value::Array(lines))
}

fn kind_of(network: &Network) -> &'static str {
    if network.predefined {
        "builtin"
    } else {
        "custom"
    }
}

/// Names of networks some container asks for.
fn used(door: &DockerDoor) -> BTreeSet<String> {
    door.engine
        .containers(None)
        .iter()
        .flat_map(|container| DoorData::of(container).networks.into_keys())
        .collect()
}
