//! UpdateRuntimeConfig: kubelet tells the pods' address range. Ours is set in the daemon's configuration, so a range is
//! refused instead of being taken and forgotten.

use gantry_cri_api::v1::{UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse};
use gantry_model::{Error, Result};

use crate::Door;

pub(crate) async fn handle(
    _door: &Door,
    request: UpdateRuntimeConfigRequest,
) -> Result<UpdateRuntimeConfigResponse> {
    let cidr = request
        .runtime_config
        .and_then(|config| config.network_config)
        .map(|network| network.pod_cidr)
        .unwrap_or_default();
    if cidr.is_empty() {
        return Ok(UpdateRuntimeConfigResponse {});
    }
    Err(Error::unimplemented(format!(
        "pod_cidr {cidr} cannot be set through cri yet; pods take addresses of the daemon's default network"
    )))
}
