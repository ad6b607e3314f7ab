//! `POST /containers/{id}/update`.

use std::sync::Arc;

use gantry_engine::UpdateContainer;
use gantry_model::state::State;
use http::StatusCode;
use serde_json::json;

use crate::containers::named;
use crate::convert::door_data::DoorData;
use crate::convert::update;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, ok};
use crate::version::ApiVersion;

/// Changes limits and restart policy, of one that runs at once.
pub(crate) async fn update(door: Arc<DockerDoor>, mut req: Req) -> Answer {
    let mut raw = req.json_or_null().await?;
    if req.version < ApiVersion::one(40)
        && let Some(all) = raw.as_object_mut()
    {
        all.remove("PidsLimit");
    }
    let wanted = update::read(&raw, door.host.cpus)?;
    let container = named(&door, &req)?;
    let refused = |text: &str| {
        let text = format!("Cannot update container {}: {text}", container.id);
        Failure::new(StatusCode::CONFLICT, text)
    };
    if container.state == State::Removing {
        return Err(refused(
            "container is marked for removal and cannot be \"update\"",
        ));
    }
    let mut data = DoorData::of(&container);
    let (resources, restart) =
        update::over(&wanted, &container.spec, &mut data.host_config).map_err(refused)?;
    // Another door's container has nothing of ours to keep.
    let door_data = (!container.door_data.is_empty() && !data.host_config.is_null())
        .then(|| serde_json::to_string(&data))
        .transpose()
        .map_err(|error| {
            let text = format!("keep the request: {error}");
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        })?;
    let change = UpdateContainer {
        resources,
        restart,
        door_data,
    };
    door.engine
        .update_container(&container.id, change)
        .await
        .map_err(|error| error.context(format!("Cannot update container {}", container.id)))?;
    ok(&json!({ "Warnings": [] }))
}
