//! `POST /containers/{id}/wait`.

use std::sync::Arc;

use gantry_engine::{WaitCondition, Waited};
use serde_json::{Value, json};

use crate::containers::named;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, ok, stream};
use crate::version::ApiVersion;

/// Waits for a run's end or the removal. The head goes out at once: clients start the container only then.
pub(crate) async fn wait(door: Arc<DockerDoor>, req: Req) -> Answer {
    let condition = condition(req.query.get("condition").unwrap_or_default())?;
    let container = named(&door, &req)?;
    // Registered now, before the answer's head.
    let waiter = door.engine.wait_container(&container.id, condition)?;
    if req.version < ApiVersion::one(30) {
        return ok(&shown(&waiter.await, condition));
    }
    let (sender, response) = stream("application/json");
    tokio::spawn(async move {
        tokio::select! {
            waited = waiter => {
                let _ = sender.send(format!("{}\n", shown(&waited, condition)).into()).await;
            }
            () = sender.closed() => {}
        }
    });
    Ok(response)
}

fn condition(text: &str) -> Result<WaitCondition, Failure> {
    match text {
        "" | "not-running" => Ok(WaitCondition::NotRunning),
        "next-exit" => Ok(WaitCondition::NextExit),
        "removed" => Ok(WaitCondition::Removed),
        other => Err(Failure::bad_request(format!(
            "invalid condition: {other:?}"
        ))),
    }
}

fn shown(waited: &Waited, condition: WaitCondition) -> Value {
    let code = waited.exit.as_ref().map_or(0, |exit| exit.code);
    let mut shown = json!({ "StatusCode": code });
    // Who waits for the removal is told of a removal that failed only, not of a start that did.
    if !waited.error.is_empty() && condition != WaitCondition::Removed {
        shown["Error"] = json!({ "Message": waited.error });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        for (text, expected) in [
            ("", Some(WaitCondition::NotRunning)),
            ("not-running", Some(WaitCondition::NotRunning)),
            ("next-exit", Some(WaitCondition::NextExit)),
            ("removed", Some(WaitCondition::Removed)),
            ("gone", None),
        ] {
            assert_eq!(condition(text).ok(), expected, "{text}");
        }
    }
}
