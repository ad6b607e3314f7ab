//! `POST /containers/{id}/kill`.

use std::sync::Arc;

use gantry_model::ErrorKind;
use http::StatusCode;

use crate::containers::named;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, no_content};

/// Sends a signal.
pub(crate) async fn kill(door: Arc<DockerDoor>, req: Req) -> Answer {
    let container = named(&door, &req)?;
    let signal = req.query.get("signal").unwrap_or_default();
    match door.engine.kill_container(&container.id, signal).await {
        Ok(()) => no_content(),
        Err(error) if error.kind == ErrorKind::Conflict && !container.state.is_live() => {
            let text = format!(
                "cannot kill container: {}: container {} is not running",
                req.id(),
                container.id
            );
            Err(Failure::new(StatusCode::CONFLICT, text))
        }
        Err(error) => Err(error
            .context(format!("cannot kill container: {}", req.id()))
            .into()),
    }
}
