//! RuntimeConfig: what kubelet must do as we do.

use gantry_cri_api::v1::{
    CgroupDriver, LinuxRuntimeConfiguration, RuntimeConfigRequest, RuntimeConfigResponse,
};
use gantry_model::Result;

use crate::Door;

pub(crate) async fn handle(
    door: &Door,
    _request: RuntimeConfigRequest,
) -> Result<RuntimeConfigResponse> {
    // Said in both cases: the enum's zero is systemd, so an answer without it would claim that.
    let driver = match door.engine.info().config.cgroup_driver.as_str() {
        "systemd" => CgroupDriver::Systemd,
        _ => CgroupDriver::Cgroupfs,
    };
    Ok(RuntimeConfigResponse {
        linux: Some(LinuxRuntimeConfiguration {
            cgroup_driver: driver.into(),
        }),
    })
}
