//! `POST /containers/{id}/rename`.

use std::sync::Arc;

use gantry_model::ErrorKind;
use http::StatusCode;

use crate::containers::create::{checked_name, name_taken};
use crate::containers::named;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, no_content};

/// Gives it another name.
pub(crate) async fn rename(door: Arc<DockerDoor>, req: Req) -> Answer {
    let asked = req.query.get("name").unwrap_or_default().trim();
    if asked.trim_start_matches('/').is_empty() {
        return Err(Failure::bad_request(
            "Neither old nor new names may be empty",
        ));
    }
    let container = named(&door, &req)?;
    // Compared and told with the slash, as dockerd keeps names.
    let rooted = format!("/{}", asked.strip_prefix('/').unwrap_or(asked));
    if rooted == format!("/{}", container.name) {
        return Err(Failure::bad_request(
            "Renaming a container with the same name as its current name",
        ));
    }
    let refused = |failure: Failure| Failure {
        message: format!("Error when allocating new name: {}", failure.message),
        ..failure
    };
    let name = checked_name(&rooted).map_err(refused)?;
    match door
        .engine
        .rename_container(&container.id, &name, None)
        .await
    {
        Ok(()) => no_content(),
        Err(error) if error.kind == ErrorKind::AlreadyExists => {
            let owner = door.engine.find_container(Some(container.origin), &name);
            let text = match owner {
                Ok(owner) if owner.name == name => name_taken(&owner),
                _ => error.message,
            };
            Err(refused(Failure::new(StatusCode::CONFLICT, text)))
        }
        Err(error) => Err(error.into()),
    }
}
