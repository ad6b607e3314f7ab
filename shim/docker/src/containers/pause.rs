//! `POST /containers/{id}/pause` and `…/unpause`.

use std::sync::Arc;

use gantry_model::ErrorKind;
use gantry_model::state::State;
use http::StatusCode;

use crate::containers::named;
use crate::convert::status_text;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, no_content};

/// Freezes it.
pub(crate) async fn pause(door: Arc<DockerDoor>, req: Req) -> Answer {
    set(door, req, true).await
}

/// Thaws it.
pub(crate) async fn unpause(door: Arc<DockerDoor>, req: Req) -> Answer {
    set(door, req, false).await
}

async fn set(door: Arc<DockerDoor>, req: Req, paused: bool) -> Answer {
    let container = named(&door, &req)?;
    if status_text::restarting(&container) {
        let text = status_text::is_restarting(&container);
        return Err(Failure::new(StatusCode::CONFLICT, text));
    }
    let why = match (container.state, paused) {
        (State::Paused, true) => "is already paused",
        (State::Running, false) => "is not paused",
        (state, _) if !state.is_live() => "is not running",
        _ => "",
    };
    match door.engine.pause_container(&container.id, paused).await {
        Ok(()) => no_content(),
        Err(error) if error.kind == ErrorKind::Conflict && !why.is_empty() => {
            let text = format!("Container {} {why}", container.id);
            Err(Failure::new(StatusCode::CONFLICT, text))
        }
        Err(error) => Err(error.into()),
    }
}
