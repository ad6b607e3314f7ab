//! ReopenContainerLog: after kubelet moved the log away; the new file exists when this answers.

use gantry_cri_api::v1::{ReopenContainerLogRequest, ReopenContainerLogResponse};
use gantry_model::Result;

use crate::Door;
use crate::convert::lookup;

pub(crate) async fn handle(
    door: &Door,
    request: ReopenContainerLogRequest,
) -> Result<ReopenContainerLogResponse> {
    let container = lookup::container(door, &request.container_id)?;
    door.engine.reopen_log(&container.id).await?;
    Ok(ReopenContainerLogResponse {})
}
