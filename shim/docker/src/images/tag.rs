//! `POST /images/{name}/tag`.

use std::sync::Arc;

use gantry_model::ErrorKind;
use gantry_model::image::Origin;
use gantry_model::reference::Reference;
use http::StatusCode;

use crate::door::DockerDoor;
use crate::images::missing;
use crate::request::Req;
use crate::response::{Answer, Failure, empty};

/// Points another name at an image.
pub(crate) async fn tag(door: Arc<DockerDoor>, req: Req) -> Answer {
    let repo = req.query.get("repo").unwrap_or_default();
    let wrong =
        |error: gantry_model::reference::ReferenceError| Failure::bad_request(error.to_string());
    let mut name = Reference::parse(repo).map_err(wrong)?;
    if name.digest().is_some() {
        return Err(Failure::bad_request(
            "refusing to create a tag with a digest reference",
        ));
    }
    if let Some(tag) = req.query.text("tag") {
        name = name.with_tag(tag).map_err(wrong)?;
    }
    let name = name.or_latest().to_string();
    door.engine
        .tag_image(Origin::Docker, req.id(), &name)
        .await
        .map_err(|error| match error.kind {
            ErrorKind::NotFound => missing(req.id()),
            _ => error.into(),
        })?;
    Ok(empty(StatusCode::CREATED))
}
