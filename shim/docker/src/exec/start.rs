//! `POST /exec/{id}/start`.

use std::sync::Arc;

use bytes::Bytes;
use gantry_model::supervisor::{AttachStreams, WindowSize};
use gantry_model::{Error, ErrorKind};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::containers::start::refused;
use crate::convert::body;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, ok_empty};
use crate::streaming::detach::DetachKeys;
use crate::streaming::frame;
use crate::streaming::hijack::Hijack;

/// In front of why an exec's program could not be started.
const STARTING: &str = "OCI runtime exec failed: exec failed: unable to start container process";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    detach: bool,
    console_size: Option<[u16; 2]>,
}

/// Starts an exec; attached to the taken-over connection unless `Detach` is asked.
pub(crate) async fn start(door: Arc<DockerDoor>, mut req: Req) -> Answer {
    let raw = req.json_or_null().await?;
    let body: Body = if raw.is_null() {
        Body::default()
    } else {
        body::read(raw)?
    };
    let exec = door.engine.find_exec(req.id())?;
    let size = body
        .console_size
        .filter(|size| *size != [0, 0])
        .map(|[rows, columns]| WindowSize { rows, columns });
    let program = exec.spec.command.first().cloned().unwrap_or_default();
    if body.detach {
        door.engine
            .start_exec(&exec.id, AttachStreams::default(), size)
            .await
            .map_err(|error| refused(error, STARTING, &program))?;
        return ok_empty();
    }
    let streams = exec.spec.streams;
    let terminal = exec.spec.terminal;
    let keys = DetachKeys::parse(&exec.spec.door_data)?;
    let hijack = Hijack::new(&mut req, terminal).detached_by(keys);
    let answer = hijack.answer();
    let (told, begun) = oneshot::channel();
    // In a task of its own: a client that goes away while its exec starts must not leave a command that waits for input
    // from nobody.
    tokio::spawn(async move {
        match door.engine.start_exec(&exec.id, streams, size).await {
            Ok(attached) => {
                // Whoever waits for it or not, what was started is looked after.
                let _ = told.send(Ok(()));
                let ended = async { drop(door.engine.wait_exec(&exec.id).await) };
                let pumped = hijack.pump(Some(attached), streams.stdin, Bytes::new(), ended);
                if pumped.await {
                    let attributes = [("execID", exec.id.to_string())];
                    let id = &exec.container;
                    door.engine.tell_container(id, "exec_detach", &attributes);
                }
            }
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => {
                let _ = told.send(Err(error));
            }
            // Docker has taken the connection over by then: the text is output, and the code is in the exec's inspect.
            Err(error) => {
                let text = format!("{}\r\n", refused(error, STARTING, &program).message);
                let first = frame::output(terminal, false, text.into_bytes());
                let _ = told.send(Ok(()));
                hijack.pump(None, false, first, async {}).await;
            }
        }
    });
    match begun.await {
        Ok(begun) => {
            begun?;
            Ok(answer)
        }
        Err(_) => Err(Error::internal("the start of the exec ended in a panic").into()),
    }
}
