//! `DELETE /images/{name}`.

use std::sync::Arc;

use gantry_engine::RemovedImage;
use gantry_model::ErrorKind;
use gantry_model::image::Origin;
use serde_json::{Value, json};

use crate::door::DockerDoor;
use crate::images::missing;
use crate::request::Req;
use crate::response::{Answer, ok};

/// Takes a name away, and the image with its last one.
pub(crate) async fn remove(door: Arc<DockerDoor>, req: Req) -> Answer {
    let removed = door
        .engine
        .remove_image(Origin::Docker, req.id(), req.query.flag("force"))
        .await
        .map_err(|error| match error.kind {
            ErrorKind::NotFound => missing(req.id()),
            _ => error.into(),
        })?;
    let lines = removed
        .iter()
        .map(|step| match step {
            RemovedImage::Untagged(name) => json!({ "Untagged": name }),
            RemovedImage::Deleted(digest) => json!({ "Deleted": digest }),
        })
        .collect();
    ok(&Value::Array(lines))
}
