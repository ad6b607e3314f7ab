//! `POST /containers/{id}/resize`.

use std::sync::Arc;

use gantry_model::supervisor::WindowSize;

use crate::containers::named;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, ok_empty};

/// Sets the terminal's size.
pub(crate) async fn resize(door: Arc<DockerDoor>, req: Req) -> Answer {
    let size = size(&req)?;
    let container = named(&door, &req)?;
    door.engine.resize_container(&container.id, size).await?;
    ok_empty()
}

/// `h` and `w` of the query.
///
/// # Errors
/// 400 when one is missing or no number.
pub(crate) fn size(req: &Req) -> Result<WindowSize, Failure> {
    let one = |key: &str| {
        req.query
            .number(key)?
            .ok_or_else(|| Failure::bad_request(format!("invalid resize: {key} is missing")))
    };
    Ok(WindowSize {
        rows: one("h")?,
        columns: one("w")?,
    })
}
