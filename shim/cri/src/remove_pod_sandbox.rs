//! RemovePodSandbox: removes a pod with its containers. Removing what is gone succeeds.

use gantry_cri_api::v1::{RemovePodSandboxRequest, RemovePodSandboxResponse};
use gantry_model::Result;

use crate::Door;
use crate::convert::lookup;

pub(crate) async fn handle(
    door: &Door,
    request: RemovePodSandboxRequest,
) -> Result<RemovePodSandboxResponse> {
    if let Some(sandbox) = lookup::optional(lookup::sandbox(door, &request.pod_sandbox_id))? {
        lookup::idempotent(door.engine.remove_sandbox(&sandbox.id).await)?;
    }
    Ok(RemovePodSandboxResponse {})
}
