//! ContainerStats: one container's figures.

use gantry_cri_api::v1::{ContainerStatsRequest, ContainerStatsResponse};
use gantry_model::Result;

use crate::Door;
use crate::convert::{lookup, stats};

pub(crate) async fn handle(
    door: &Door,
    request: ContainerStatsRequest,
) -> Result<ContainerStatsResponse> {
    let container = lookup::container(door, &request.container_id)?;
    let figures = door.engine.container_stats(&container.id).await?;
    Ok(ContainerStatsResponse {
        stats: Some(stats::view(&container, &figures)),
    })
}
