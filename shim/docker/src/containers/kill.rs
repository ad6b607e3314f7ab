//! `POST /containers/{id}/kill`.

use std::sync::Arc;
use std::time::Duration;

use gantry_engine::WaitCondition;
use gantry_model::ErrorKind;
use http::StatusCode;

use crate::containers::named;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, no_content};

/// How long SIGKILL's effect is waited for; one that is stuck in the kernel ends later.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a signal. As dockerd does, SIGKILL is answered when the run has ended.
pub(crate) async fn kill(door: Arc<DockerDoor>, req: Req) -> Answer {
    let container = named(&door, &req)?;
    let signal = req.query.get("signal").unwrap_or_default();
    let ended = is_sigkill(signal) && container.state.is_live();
    let ended = ended
        .then(|| {
            door.engine
                .wait_container(&container.id, WaitCondition::NotRunning)
        })
        .transpose()?;
    match door.engine.kill_container(&container.id, signal).await {
        Ok(()) => {
            if let Some(ended) = ended {
                let _ = tokio::time::timeout(PATIENCE, ended).await;
            }
            no_content()
        }
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

fn is_sigkill(signal: &str) -> bool {
    let upper = signal.to_ascii_uppercase();
    matches!(
        upper.strip_prefix("SIG").unwrap_or(&upper),
        "" | "KILL" | "9"
    )
}

#[cfg(test)]
mod tests {
    use super::is_sigkill;

    #[test]
    fn knows_the_one_nobody_outlives() {
        for (signal, expected) in [
            ("", true),
            ("KILL", true),
            ("sigkill", true),
            ("9", true),
            ("TERM", false),
            ("19", false),
        ] {
            assert_eq!(is_sigkill(signal), expected, "{signal}");
        }
    }
}
