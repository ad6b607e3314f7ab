//! RunPodSandbox: makes a pod's sandbox; it is ready when this answers.

use gantry_cri_api::v1::{RunPodSandboxRequest, RunPodSandboxResponse};
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::pod;

pub(crate) async fn handle(
    door: &Door,
    request: RunPodSandboxRequest,
) -> Result<RunPodSandboxResponse> {
    let config = request
        .config
        .ok_or_else(|| Error::invalid("config is missing"))?;
    let spec = pod::spec(config, request.runtime_handler, door.selinux)?;
    let id = door.engine.run_sandbox(spec).await?;
    Ok(RunPodSandboxResponse {
        pod_sandbox_id: id.to_string(),
    })
}
