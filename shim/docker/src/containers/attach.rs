//! `POST /containers/{id}/attach`.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use gantry_model::supervisor::AttachStreams;

use crate::containers::{logs, named};
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::Answer;
use crate::streaming::detach::DetachKeys;
use crate::streaming::hijack::Hijack;

/// Takes the connection over and attaches it. Before a start the attachment belongs to the next run; the client is
/// answered at once, since it starts the container only then.
pub(crate) async fn attach(door: Arc<DockerDoor>, mut req: Req) -> Answer {
    let container = named(&door, &req)?;
    let stream = req.query.flag("stream");
    let streams = AttachStreams {
        stdin: stream && req.query.flag("stdin") && container.spec.process.stdin,
        stdout: stream && req.query.flag("stdout"),
        stderr: stream && req.query.flag("stderr"),
    };
    let past = if req.query.flag("logs") {
        let wanted = (req.query.flag("stdout"), req.query.flag("stderr"));
        logs::whole(&container, wanted).await?
    } else {
        Bytes::new()
    };
    let keys = DetachKeys::parse(req.query.text("detachKeys").unwrap_or_default())?;
    let hijack = Hijack::new(&mut req, container.spec.process.terminal).detached_by(keys);
    let answer = hijack.answer();
    if !stream {
        tokio::spawn(hijack.pump(None, false, past, async {}));
        return Ok(answer);
    }
    let id = container.id.clone();
    let teller = Arc::clone(&door);
    let mut attaching = Box::pin(async move { door.engine.attach_container(&id, streams).await });
    // One look before the answer: it registers the attachment, and what fails at once gets a status of its own.
    let first = std::future::poll_fn(|cx| Poll::Ready(attaching.as_mut().poll(cx))).await;
    let ready = match first {
        Poll::Ready(result) => Some(result?),
        Poll::Pending => None,
    };
    let peer = hijack.peer();
    tokio::spawn(async move {
        let attached = match ready {
            Some(attached) => Ok(attached),
            None => tokio::select! {
                result = attaching => result,
                () = peer.gone() => return,
            },
        };
        match attached {
            Ok(attached) => {
                let pumped = hijack.pump(Some(attached), streams.stdin, past, async {});
                if pumped.await {
                    teller.engine.tell_container(&container.id, "detach", &[]);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "an attachment came to nothing");
                hijack.pump(None, false, Bytes::new(), async {}).await;
            }
        }
    });
    Ok(answer)
}
