//! `GET /exec/{id}/json`.

use std::sync::Arc;

use gantry_engine::ExecView;
use serde_json::{Value, json};

use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, ok};

/// What an exec is doing.
pub(crate) async fn inspect(door: Arc<DockerDoor>, req: Req) -> Answer {
    ok(&shown(&door.engine.find_exec(req.id())?))
}

fn shown(view: &ExecView) -> Value {
    let spec = &view.spec;
    let (entrypoint, arguments) = spec
        .command
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    json!({
        "ID": view.id.as_str(),
        "Running": view.running,
        "ExitCode": view.exit_code,
        "ProcessConfig": {
            "tty": spec.terminal,
            "entrypoint": entrypoint,
            "arguments": arguments,
            "privileged": spec.privileged,
            "user": spec.user.as_ref().map_or("", |user| &user.user),
        },
        "OpenStdin": spec.streams.stdin,
        "OpenStderr": spec.streams.stderr,
        "OpenStdout": spec.streams.stdout,
        "CanRemove": !view.running && view.exit_code.is_some(),
        "ContainerID": view.container.as_str(),
        "DetachKeys": spec.door_data,
        "Pid": view.pid,
    })
}
