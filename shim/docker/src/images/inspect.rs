//! `GET /images/{name}/json`.

use std::sync::Arc;

use crate::convert::image;
use crate::door::DockerDoor;
use crate::images::{check_platform, named};
use crate::request::Req;
use crate::response::{Answer, ok};

/// Everything of one image.
pub(crate) async fn inspect(door: Arc<DockerDoor>, req: Req) -> Answer {
    check_platform(req.query.text("platform"))?;
    let view = named(&door, req.id()).await?;
    let snapshotter = door.engine.info().config.snapshotter;
    ok(&image::inspected(&view, &snapshotter, req.version))
}
