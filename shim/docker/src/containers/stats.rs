//! `GET /containers/{id}/stats`.

use std::sync::Arc;

use gantry_engine::{Samples, StatsUpdate, StatsWatch};
use gantry_model::container::Container;
use serde_json::Value;

use crate::containers::named;
use crate::convert::stats::{OfHost, shown};
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, ok, stream};
use crate::version::ApiVersion;

/// Figures once a second until the container is removed, or one with `stream=0` (when there are two readings, to have a
/// difference) or `one-shot=1` (at once).
pub(crate) async fn stats(door: Arc<DockerDoor>, req: Req) -> Answer {
    let container = named(&door, &req)?;
    let host = OfHost {
        cpus: door.host.cpus,
        memory: door.host.memory,
    };
    let one_shot = req.version >= ApiVersion::one(41) && req.query.flag("one-shot");
    if !req.query.flag_or("stream", true) {
        if !container.state.is_live() {
            return ok(&shown(&container, None, None, host));
        }
        if one_shot && let Some(samples) = door.engine.sampled_stats(&container.id)? {
            return ok(&shown(&container, Some(&samples.last), None, host));
        }
        let mut watch = door.engine.watch_stats(&container.id)?;
        return ok(&once(&mut watch, &container, one_shot, host).await);
    }
    let mut watch = door.engine.watch_stats(&container.id)?;
    let (sender, response) = stream("application/json");
    tokio::spawn(async move {
        let mut first = true;
        loop {
            let update = tokio::select! {
                () = sender.closed() => return,
                update = watch.next() => update,
            };
            let line = match update {
                Some(StatsUpdate::Sampled(Samples { last, before })) => {
                    // The first line of a stream never has a reading before it.
                    let before = before.as_deref().filter(|_| !first);
                    shown(&container, Some(&last), before, host)
                }
                Some(StatsUpdate::NotRunning) => shown(&container, None, None, host),
                // Its supervisor is asked again; until it answers there is nothing new.
                Some(StatsUpdate::Silent(_)) => continue,
                None => return,
            };
            first = false;
            if sender.send(format!("{line}\n").into()).await.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

/// The next figures with a difference (or `one_shot` without); zeros when it ends before there are any.
async fn once(
    watch: &mut StatsWatch,
    container: &Container,
    one_shot: bool,
    host: OfHost,
) -> Value {
    loop {
        match watch.next().await {
            Some(StatsUpdate::Sampled(Samples { last, .. })) if one_shot => {
                return shown(container, Some(&last), None, host);
            }
            Some(StatsUpdate::Sampled(Samples { last, before })) => {
                if before.is_some() {
                    return shown(container, Some(&last), before.as_deref(), host);
                }
            }
            // What was read before its supervisor fell silent is better than nothing.
            Some(StatsUpdate::Silent(Some(Samples { last, before }))) => {
                return shown(container, Some(&last), before.as_deref(), host);
            }
            Some(StatsUpdate::Silent(None) | StatsUpdate::NotRunning) | None => {
                return shown(container, None, None, host);
            }
        }
    }
}
