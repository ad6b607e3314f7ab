//! `POST /containers/{id}/exec`.

use std::sync::Arc;

use gantry_engine::ExecSpec;
use gantry_model::ErrorKind;
use gantry_model::container::UserSpec;
use gantry_model::state::State;
use gantry_model::supervisor::AttachStreams;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::containers::named;
use crate::convert::body::{self, Words};
use crate::convert::status_text;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, json};
use crate::streaming::detach::DetachKeys;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    user: String,
    privileged: bool,
    detach_keys: String,
    tty: bool,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    env: Vec<String>,
    working_dir: String,
    cmd: Option<Words>,
}

/// Records an exec to be started.
pub(crate) async fn create(door: Arc<DockerDoor>, mut req: Req) -> Answer {
    let body: Body = body::read(req.json().await?)?;
    let container = named(&door, &req)?;
    let command = body.cmd.map(Words::into_vec).unwrap_or_default();
    if command.is_empty() {
        return Err(Failure::bad_request("no exec command specified"));
    }
    DetachKeys::parse(&body.detach_keys)?;
    let spec = ExecSpec {
        command,
        env: body.env,
        cwd: body.working_dir,
        user: (!body.user.is_empty()).then(|| UserSpec {
            user: body.user,
            ..UserSpec::default()
        }),
        privileged: body.privileged,
        terminal: body.tty,
        streams: AttachStreams {
            stdin: body.attach_stdin,
            stdout: body.attach_stdout,
            stderr: body.attach_stderr,
        },
        door_data: body.detach_keys,
    };
    let conflict = |text| Failure::new(StatusCode::CONFLICT, text);
    let id = door
        .engine
        .create_exec(&container.id, spec)
        .map_err(|error| match (error.kind, container.state) {
            (ErrorKind::Conflict, State::Paused) => conflict(format!(
                "container {} is paused, unpause the container before exec",
                container.id
            )),
            (ErrorKind::Conflict, _) if status_text::restarting(&container) => {
                conflict(status_text::is_restarting(&container))
            }
            (ErrorKind::Conflict, state) if !state.is_live() => {
                conflict(format!("container {} is not running", container.id))
            }
            _ => error.into(),
        })?;
    Ok(json(StatusCode::CREATED, &json!({ "Id": id.as_str() })))
}
