//! Version: who answers.

use gantry_cri_api::v1::{VersionRequest, VersionResponse};
use gantry_model::Result;

use crate::Door;

pub(crate) async fn handle(door: &Door, _request: VersionRequest) -> Result<VersionResponse> {
    Ok(VersionResponse {
        // Version of kubelet's side of the interface; the number has been this since the beginning.
        version: "0.1.0".to_owned(),
        runtime_name: "gantry".to_owned(),
        runtime_version: door.config.version.clone(),
        runtime_api_version: "v1".to_owned(),
    })
}
