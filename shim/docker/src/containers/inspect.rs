//! `GET /containers/{id}/json`.

use std::sync::Arc;

use crate::containers::named;
use crate::convert;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, ok};

/// Everything of one container. Sizes (`size=1`) are not counted, their fields are absent.
pub(crate) async fn inspect(door: Arc<DockerDoor>, req: Req) -> Answer {
    let container = named(&door, &req)?;
    let execs = door.engine.execs_of(&container.id);
    ok(&convert::inspect::container(
        &door.engine,
        &container,
        req.version,
        &execs,
        &door.engine.health(&container.id),
    ))
}
