//! PodSandboxStatus: one pod, from memory.

use gantry_cri_api::v1::{PodSandboxStatusRequest, PodSandboxStatusResponse};
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::{lookup, pod_view};

pub(crate) async fn handle(
    door: &Door,
    request: PodSandboxStatusRequest,
) -> Result<PodSandboxStatusResponse> {
    let sandbox = lookup::sandbox(door, &request.pod_sandbox_id)?;
    let status = pod_view::status(&sandbox).ok_or_else(|| {
        Error::not_found(format!("no such pod sandbox: {}", request.pod_sandbox_id))
    })?;
    let mut response = PodSandboxStatusResponse {
        status: Some(status),
        ..Default::default()
    };
    if request.verbose {
        let endpoints = door.engine.endpoints_of(&sandbox.id);
        let info = serde_json::json!({
            "sandbox": &*sandbox,
            "endpoints": endpoints.iter().map(AsRef::as_ref).collect::<Vec<&gantry_model::network::Endpoint>>(),
        });
        response.info.insert("info".to_owned(), info.to_string());
    }
    Ok(response)
}
