//! `POST /containers/{id}/stop`.

use std::sync::Arc;
use std::time::Duration;

use crate::containers::named;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, no_content};

/// "Wait for ever", as a negative number of seconds means: a year.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// Stops the run; 304 when it does not run.
pub(crate) async fn stop(door: Arc<DockerDoor>, req: Req) -> Answer {
    let timeout = timeout(&req)?;
    let container = named(&door, &req)?;
    door.engine.stop_container(&container.id, timeout).await?;
    no_content()
}

/// How long to wait before SIGKILL; `None` is the container's own time.
///
/// # Errors
/// 400 for what is no number, 501 for a signal of the caller's choice.
pub(crate) fn timeout(req: &Req) -> Result<Option<Duration>, Failure> {
    if let Some(signal) = req.query.text("signal") {
        return Err(Failure::not_served(format!(
            "stopping with a signal of choice ({signal}) is not served by gantry yet"
        )));
    }
    let seconds: Option<i64> = req.query.number("t")?;
    Ok(seconds.map(|seconds| u64::try_from(seconds).map_or(FOREVER, Duration::from_secs)))
}
