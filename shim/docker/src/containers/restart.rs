//! `POST /containers/{id}/restart`: a stop and a start.

use std::sync::Arc;

use gantry_model::ErrorKind;

use crate::containers::{named, start, stop};
use crate::convert::door_data::DoorData;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, no_content};

/// Stops it if it runs and starts it. Both steps are done even if the client goes away in between.
pub(crate) async fn restart(door: Arc<DockerDoor>, req: Req) -> Answer {
    let timeout = stop::timeout(&req)?;
    let container = named(&door, &req)?;
    let work = tokio::spawn(async move {
        match door.engine.stop_container(&container.id, timeout).await {
            Err(error) if error.kind != ErrorKind::NotModified => return Err(error.into()),
            _ => {}
        }
        match door.engine.start_container(&container.id).await {
            Err(error) if error.kind != ErrorKind::NotModified => Err(start::refused(
                error,
                start::STARTING,
                &DoorData::of(&container).path,
            )),
            _ => no_content(),
        }
    });
    work.await.map_err(|error| {
        gantry_model::Error::internal(format!("restart ended abnormally: {error}"))
    })?
}
