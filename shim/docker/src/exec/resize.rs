//! `POST /exec/{id}/resize`.

use std::sync::Arc;

use crate::containers::resize::size;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, ok_empty};

/// Sets the terminal's size.
pub(crate) async fn resize(door: Arc<DockerDoor>, req: Req) -> Answer {
    let size = size(&req)?;
    let exec = door.engine.find_exec(req.id())?;
    door.engine.resize_exec(&exec.id, size).await?;
    ok_empty()
}
