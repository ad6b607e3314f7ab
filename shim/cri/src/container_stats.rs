//! ContainerStats: one container's figures, as they were read last.

use std::time::Duration;

use gantry_cri_api::v1::{ContainerStatsRequest, ContainerStatsResponse};
use gantry_engine::StatsUpdate;
use gantry_model::container::Container;
use gantry_model::supervisor::Stats;
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::{lookup, stats};

/// How long to wait for the first figures of a container that was started just now.
const FIRST: Duration = Duration::from_secs(2);

pub(crate) async fn handle(
    door: &Door,
    request: ContainerStatsRequest,
) -> Result<ContainerStatsResponse> {
    let container = lookup::container(door, &request.container_id)?;
    let figures = match door.engine.sampled_stats(&container.id)? {
        Some(samples) => samples.last.stats.clone(),
        None => first(door, &container).await?,
    };
    Ok(ContainerStatsResponse {
        stats: Some(stats::view(&container, &figures)),
    })
}

/// The first figures of a run; nothing was read of it yet.
async fn first(door: &Door, container: &Container) -> Result<Stats> {
    let id = &container.id;
    if !container.state.is_live() {
        return Err(Error::conflict(format!("container {id} is not running")));
    }
    let mut watch = door.engine.watch_stats(id)?;
    match tokio::time::timeout(FIRST, watch.next()).await {
        Ok(Some(StatsUpdate::Sampled(samples))) => Ok(samples.last.stats.clone()),
        Ok(Some(StatsUpdate::NotRunning) | None) => {
            Err(Error::conflict(format!("container {id} is not running")))
        }
        Ok(Some(StatsUpdate::Silent(_))) | Err(_) => Err(Error::unavailable(format!(
            "no figures of container {id} could be read yet"
        ))),
    }
}
