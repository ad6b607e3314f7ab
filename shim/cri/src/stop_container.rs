//! StopContainer: asks a container to end, then makes it. Stopping what has ended or is gone succeeds.

use std::time::Duration;

use gantry_cri_api::v1::{StopContainerRequest, StopContainerResponse};
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::lookup;

pub(crate) async fn handle(
    door: &Door,
    request: StopContainerRequest,
) -> Result<StopContainerResponse> {
    let seconds = u64::try_from(request.timeout)
        .map_err(|_| Error::invalid(format!("timeout {} is negative", request.timeout)))?;
    if let Some(container) = lookup::optional(lookup::container(door, &request.container_id))? {
        let timeout = Some(Duration::from_secs(seconds));
        lookup::idempotent(door.engine.stop_container(&container.id, timeout).await)?;
    }
    Ok(StopContainerResponse {})
}
