//! ListContainerStats: the figures of all containers that run, as they were read last.

use gantry_cri_api::v1::{ContainerFilter, ListContainerStatsRequest, ListContainerStatsResponse};
use gantry_model::Result;
use gantry_model::image::Origin;
use gantry_model::state::State;

use crate::Door;
use crate::convert::stats;
use crate::list_containers::Filter;

pub(crate) async fn handle(
    door: &Door,
    request: ListContainerStatsRequest,
) -> Result<ListContainerStatsResponse> {
    let filter = request.filter.unwrap_or_default();
    let filter = Filter::new(ContainerFilter {
        id: filter.id,
        pod_sandbox_id: filter.pod_sandbox_id,
        label_selector: filter.label_selector,
        state: None,
    });
    let containers = door.engine.containers(Some(Origin::Cri));
    let running = containers
        .iter()
        .filter(|container| matches!(container.state, State::Running | State::Paused))
        .filter(|container| filter.matches(container));
    let figures = running.filter_map(|container| {
        // One that has just ended, or has just begun, is left out of the list; it does not spoil it.
        let samples = door.engine.sampled_stats(&container.id).ok().flatten()?;
        Some(stats::view(container, &samples.last.stats))
    });
    Ok(ListContainerStatsResponse {
        stats: figures.collect(),
    })
}
