//! `POST /volumes/create`.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_engine::CreateVolume;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::convert::{body, volume};
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, json};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    name: String,
    driver: String,
    driver_opts: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    cluster_volume_spec: Value,
}

/// Makes a volume, or answers the one that is there.
pub(crate) async fn create(door: Arc<DockerDoor>, mut req: Req) -> Answer {
    let raw = req.json_or_null().await?;
    let body: Body = if raw.is_null() {
        Body::default()
    } else {
        body::read(raw)?
    };
    if !body::says_nothing(&body.cluster_volume_spec) {
        return Err(Failure::not_served(
            "cluster volumes are not served by gantry yet",
        ));
    }
    let made = door
        .engine
        .create_volume(CreateVolume {
            name: body.name,
            driver: body.driver,
            options: body.driver_opts,
            labels: body.labels,
        })
        .await?;
    Ok(json(StatusCode::CREATED, &volume::shown(&made)))
}
