//! `GET /volumes/{name}`.

use std::sync::Arc;

use crate::convert::volume;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, ok};

/// One volume.
pub(crate) async fn inspect(door: Arc<DockerDoor>, req: Req) -> Answer {
    ok(&volume::shown(&*door.engine.find_volume(req.id())?))
}
