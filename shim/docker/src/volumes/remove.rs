//! `DELETE /volumes/{name}`.

use std::sync::Arc;

use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, no_content};

/// Removes a volume with its content.
pub(crate) async fn remove(door: Arc<DockerDoor>, req: Req) -> Answer {
    door.engine
        .remove_volume(req.id(), req.query.flag("force"))
        .await?;
    no_content()
}
