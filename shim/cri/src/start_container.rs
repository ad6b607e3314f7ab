//! StartContainer: lets a container run.

use gantry_cri_api::v1::{StartContainerRequest, StartContainerResponse};
use gantry_model::state::State;
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::lookup;

pub(crate) async fn handle(
    door: &Door,
    request: StartContainerRequest,
) -> Result<StartContainerResponse> {
    let container = lookup::container(door, &request.container_id)?;
    // Kubelet makes a new container for each attempt; a second run of one would mix their logs and exit codes.
    if container.state == State::Exited {
        return Err(Error::failed_precondition(format!(
            "container {} has ended and cannot be started again",
            container.id
        )));
    }
    // A retry whose first try succeeded finds it running.
    lookup::not_modified_is_done(door.engine.start_container(&container.id).await)?;
    Ok(StartContainerResponse {})
}
