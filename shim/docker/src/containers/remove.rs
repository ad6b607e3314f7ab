//! `DELETE /containers/{id}`.

use std::sync::Arc;

use gantry_engine::RemoveContainer;
use gantry_model::ErrorKind;
use gantry_model::state::State;
use http::StatusCode;

use crate::containers::named;
use crate::convert::status_text;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, no_content};

/// Removes it; everything it used is free when this is answered.
pub(crate) async fn remove(door: Arc<DockerDoor>, req: Req) -> Answer {
    if req.query.flag("link") {
        return Err(Failure::not_served(
            "removing links is not served by gantry yet",
        ));
    }
    let container = named(&door, &req)?;
    let how = RemoveContainer {
        force: req.query.flag("force"),
        volumes: req.query.flag("v"),
    };
    let restarting = status_text::restarting(&container);
    let advice = match container.state {
        _ if restarting => {
            "container is restarting: stop the container before removing or force remove"
        }
        State::Paused => "container is paused and must be unpaused first",
        state if state.is_live() => {
            "container is running: stop the container before removing or force remove"
        }
        _ => "",
    };
    if restarting && !how.force {
        let text = format!("cannot remove container \"/{}\": {advice}", container.name);
        return Err(Failure::new(StatusCode::CONFLICT, text));
    }
    match door.engine.remove_container(&container.id, how).await {
        Ok(()) => no_content(),
        Err(error) if error.kind == ErrorKind::Conflict && !how.force && !advice.is_empty() => {
            let text = format!("cannot remove container \"/{}\": {advice}", container.name);
            Err(Failure::new(StatusCode::CONFLICT, text))
        }
        Err(error) => Err(error.into()),
    }
}
