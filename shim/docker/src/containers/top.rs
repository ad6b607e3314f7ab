//! `GET /containers/{id}/top`: the host's `ps`, of the container's processes.

use std::sync::Arc;

use http::StatusCode;

use crate::containers::named;
use crate::convert::{processes, status_text};
use crate::door::DockerDoor;
use crate::host;
use crate::request::Req;
use crate::response::{Answer, Failure, ok};

/// What dockerd runs `ps` with when nothing is asked.
const ARGS: &str = "-ef";

/// Titles and processes.
pub(crate) async fn top(door: Arc<DockerDoor>, req: Req) -> Answer {
    let args = req.query.text("ps_args").unwrap_or(ARGS);
    processes::check(args)?;
    let container = named(&door, &req)?;
    let conflict = |text| Failure::new(StatusCode::CONFLICT, text);
    if status_text::restarting(&container) {
        return Err(conflict(status_text::is_restarting(&container)));
    }
    if !container.state.is_live() {
        let text = format!("container {} is not running", container.id);
        return Err(conflict(text));
    }
    let pids = door.engine.processes(&container.id).await?;
    let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
    let mut chosen = args.clone();
    chosen.push(processes::selection(&pids));
    // Some of its options (`f`) do not go together with a selection: all processes then.
    let output = match host::ps(&chosen).await {
        Ok(output) => output,
        Err(_) => host::ps(&args).await.map_err(failed)?,
    };
    let shown = processes::parse(&output, &pids).map_err(failed)?;
    door.engine.tell_container(&container.id, "top", &[]);
    ok(&shown)
}

fn failed(text: String) -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, text)
}
