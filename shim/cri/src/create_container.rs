//! CreateContainer: describes a container in a pod. A retry with the same metadata and configuration finds the same one.

use gantry_cri_api::v1::{CreateContainerRequest, CreateContainerResponse};
use gantry_engine::CreateContainer;
use gantry_model::image::Origin;
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::container::{self, DoorData};
use crate::convert::{lookup, seccomp};

pub(crate) async fn handle(
    door: &Door,
    request: CreateContainerRequest,
) -> Result<CreateContainerResponse> {
    let config = request
        .config
        .ok_or_else(|| Error::invalid("config is missing"))?;
    let metadata = config
        .metadata
        .clone()
        .filter(|metadata| !metadata.name.is_empty())
        .ok_or_else(|| Error::invalid("config.metadata.name is missing"))?;
    let sandbox = lookup::sandbox(door, &request.pod_sandbox_id)?;
    // The pod as it was recorded: `sandbox_config` is only a copy "for easy reference".
    let pod = sandbox.pod.as_ref().ok_or_else(|| {
        Error::not_found(format!("no such pod sandbox: {}", request.pod_sandbox_id))
    })?;
    let door_data = DoorData {
        user_specified_image: config
            .image
            .as_ref()
            .map(|image| image.user_specified_image.clone())
            .unwrap_or_default(),
    };
    let context = config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.clone())
        .unwrap_or_default();
    let filter = seccomp::spec(&context).await?;
    let spec = container::spec(config, pod, filter, door.selinux)?;
    let id = door
        .engine
        .create_container(CreateContainer {
            origin: Origin::Cri,
            name: container::name(&metadata, sandbox.id.short()),
            spec,
            pod: Some(sandbox.id.clone()),
            cri: Some((metadata.name, metadata.attempt)),
            door_data: door_data.write()?,
        })
        .await?;
    Ok(CreateContainerResponse {
        container_id: id.to_string(),
    })
}
