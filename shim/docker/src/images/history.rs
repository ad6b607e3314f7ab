//! `GET /images/{name}/history`.

use std::sync::Arc;

use serde_json::Value;

use crate::convert::image;
use crate::door::DockerDoor;
use crate::images::{check_platform, named};
use crate::request::Req;
use crate::response::{Answer, ok};

/// How the image came to be, newest step first.
pub(crate) async fn history(door: Arc<DockerDoor>, req: Req) -> Answer {
    check_platform(req.query.text("platform"))?;
    let view = named(&door, req.id()).await?;
    ok(&Value::Array(image::history(&view)))
}
