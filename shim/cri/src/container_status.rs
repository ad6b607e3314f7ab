//! ContainerStatus: one container, from memory.

use gantry_cri_api::v1::{ContainerStatus, ContainerStatusRequest, ContainerStatusResponse};
use gantry_model::Result;
use gantry_model::container::Container;

use crate::Door;
use crate::convert::image::Names;
use crate::convert::{container_view, lookup};

pub(crate) async fn handle(
    door: &Door,
    request: ContainerStatusRequest,
) -> Result<ContainerStatusResponse> {
    let container = lookup::container(door, &request.container_id)?;
    let mut response = ContainerStatusResponse {
        status: Some(of(door, &container).await),
        ..Default::default()
    };
    if request.verbose {
        let info = serde_json::json!({
            "sandboxID": container_view::pod(&container),
            "pid": container.run.as_ref().map_or(0, |run| run.pid),
            "snapshotter": container.snapshotter,
            "container": &*container,
        });
        response.info.insert("info".to_owned(), info.to_string());
    }
    Ok(response)
}

/// Everything CRI shows of one.
pub(crate) async fn of(door: &Door, container: &Container) -> ContainerStatus {
    // An image can lose its names, and a damaged one its details, while a container of it runs on.
    let (names, signal) = match door.engine.find_image(&container.image_config).await {
        Ok(image) => (Names::of(&image), image.details.config.stop_signal.clone()),
        Err(_) => (Names::default(), String::new()),
    };
    container_view::status(container, &names, &signal)
}
