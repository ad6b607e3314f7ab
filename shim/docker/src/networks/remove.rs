//! `DELETE /networks/{id}`.

use std::sync::Arc;

use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, no_content};

/// Removes a network nobody is on.
pub(crate) async fn remove(door: Arc<DockerDoor>, req: Req) -> Answer {
    door.engine.remove_network(req.id()).await?;
    no_content()
}
