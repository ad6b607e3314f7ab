//! RemoveContainer: removes a container, by force if it runs. Removing what is gone succeeds.

use gantry_cri_api::v1::{RemoveContainerRequest, RemoveContainerResponse};
use gantry_engine::RemoveContainer;
use gantry_model::Result;

use crate::Door;
use crate::convert::lookup;

pub(crate) async fn handle(
    door: &Door,
    request: RemoveContainerRequest,
) -> Result<RemoveContainerResponse> {
    if let Some(container) = lookup::optional(lookup::container(door, &request.container_id))? {
        // Volumes that only the image declared belong to nobody else.
        let how = RemoveContainer {
            force: true,
            volumes: true,
        };
        lookup::idempotent(door.engine.remove_container(&container.id, how).await)?;
    }
    Ok(RemoveContainerResponse {})
}
