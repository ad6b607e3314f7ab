//! StopPodSandbox: ends a pod's containers and frees its network. Stopping what is gone succeeds.

use gantry_cri_api::v1::{StopPodSandboxRequest, StopPodSandboxResponse};
use gantry_model::Result;

use crate::Door;
use crate::convert::lookup;

pub(crate) async fn handle(
    door: &Door,
    request: StopPodSandboxRequest,
) -> Result<StopPodSandboxResponse> {
    if let Some(sandbox) = lookup::optional(lookup::sandbox(door, &request.pod_sandbox_id))? {
        lookup::idempotent(door.engine.stop_sandbox(&sandbox.id).await)?;
    }
    Ok(StopPodSandboxResponse {})
}
