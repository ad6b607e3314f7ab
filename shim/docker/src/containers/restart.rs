//! `POST /containers/{id}/restart`.

use std::sync::Arc;

use crate::containers::{named, start, stop};
use crate::convert::door_data::DoorData;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, no_content};

/// Stops it if it runs and starts it.
pub(crate) async fn restart(door: Arc<DockerDoor>, req: Req) -> Answer {
    let timeout = stop::timeout(&req)?;
    let container = named(&door, &req)?;
    match door.engine.restart_container(&container.id, timeout).await {
        Ok(()) => no_content(),
        Err(error) => Err(start::refused(
            error,
            start::STARTING,
            &DoorData::of(&container).path,
        )),
    }
}
