//! Stopping a run: its signal, patience, SIGKILL. Done when what it held is free.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::call::Call;
use gantry_model::container::Container;
use gantry_model::operation::OperationKind;
use gantry_model::{ContainerId, Error, ErrorKind, Result};
use tokio::time::Instant;

use super::Context;
use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::owner::Object;
use crate::signal;

/// How long a killed run may take to be gone before that counts as unknown.
const AFTER_KILL: Duration = Duration::from_secs(60);

/// How long the end of a supervisor that broke its connection may take to be seen.
const SUPERVISOR_ENDS: Duration = Duration::from_secs(5);

/// Docker's and the kubelet's ten seconds, unless the container says otherwise.
pub(crate) fn default_timeout(inner: &Arc<Inner>, object: &Object) -> Duration {
    let Object::Container(id) = object else {
        return Duration::from_secs(10);
    };
    let asked = inner
        .container(id)
        .ok()
        .and_then(|container| container.spec.stop_timeout);
    match asked {
        None => Duration::from_secs(10),
        // A negative time means to wait for ever.
        Some(seconds) => {
            u64::try_from(seconds).map_or(Duration::from_secs(86_400 * 365), Duration::from_secs)
        }
    }
}

pub(crate) async fn run(context: &Context, id: &ContainerId) -> Result<()> {
    let inner = &context.inner;
    let container = inner.container(id)?;
    let stopped = |record: &mut Container| {
        record.restart.stopped_by_user = true;
        record.restart.due = None;
    };
    if !container.state.is_live() {
        if container.restart.due.is_none() {
            return Err(Error::not_modified(format!("container {id} does not run")));
        }
        // It waits for its restart: that is what ends here.
        let change = inner.change().container_event("stop", &container, &[]);
        return inner.ledger.write(change.amend(id, stopped)).await;
    }
    let handle = context.handle.clone().ok_or_else(|| {
        Error::unavailable(format!("container {id}: its supervisor does not answer"))
    })?;
    let (_operation, call) = context.operation(OperationKind::StopContainer, id.as_str());
    let call = Call {
        timeout: DRIVER_TIMEOUT,
        ..call
    };
    // Written before its end can be seen: no policy may start it again.
    inner
        .ledger
        .write(inner.change().amend(id, stopped))
        .await?;
    gantry_fault::pass("engine.stop.after-intent");
    let image = inner.images.details(&container.image).await;
    let from_image = image.map_or(String::new(), |image| image.config.stop_signal.clone());
    let name = if container.spec.stop_signal.is_empty() {
        &from_image
    } else {
        &container.spec.stop_signal
    };
    // An image's nonsense must not keep a container from being stopped.
    let number = if name.is_empty() {
        signal::SIGTERM
    } else {
        signal::parse(name).unwrap_or(signal::SIGTERM)
    };
    let mut patience = context.patience.clone();
    if *patience.borrow() > Instant::now() {
        gone_is_fine(inner, id, handle.kill(&call, id, number, false).await).await?;
        tell_kill(inner, &container, number).await;
        inner.waits(&call, format!("the container to end after signal {number}"));
        let settled = settled(inner, id);
        tokio::pin!(settled);
        loop {
            let until = *patience.borrow_and_update();
            tokio::select! {
                () = &mut settled => return tell_stop(inner, &container).await,
                () = tokio::time::sleep_until(until) => break,
                () = call.cancel.cancelled() => {
                    return Err(Error::cancelled(format!("stopping container {id} was cancelled; it goes on")));
                }
                changed = patience.changed() => if changed.is_err() { break },
            }
        }
    }
    gone_is_fine(
        inner,
        id,
        handle.kill(&call, id, signal::SIGKILL, true).await,
    )
    .await?;
    gantry_fault::pass("engine.stop.after-kill");
    tell_kill(inner, &container, signal::SIGKILL).await;
    inner.waits(&call, "the killed container's resources to be freed");
    wait_settled(inner, id).await?;
    tell_stop(inner, &container).await
}

/// Sends a signal. One that is meant to end it is a user's stop: no policy starts it again.
///
/// # Errors
/// `Conflict` when it does not run.
pub(crate) async fn kill(inner: &Arc<Inner>, id: &ContainerId, number: i32) -> Result<()> {
    let container = inner.container(id)?;
    let asked = signal::parse(&container.spec.stop_signal).unwrap_or(signal::SIGTERM);
    let ends = number == signal::SIGKILL || number == asked;
    let stopped = |record: &mut Container| {
        record.restart.stopped_by_user = true;
        record.restart.due = None;
    };
    if container.restart.due.is_some() && ends {
        return inner.ledger.write(inner.change().amend(id, stopped)).await;
    }
    if !container.state.is_live() {
        return Err(Error::conflict(format!("container {id} is not running")));
    }
    let handle = inner.supervisor_of(id).await?;
    if ends {
        inner
            .ledger
            .write(inner.change().amend(id, stopped))
            .await?;
    }
    let call = inner.call(DRIVER_TIMEOUT);
    match handle.kill(&call, id, number, false).await {
        Err(error) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Unknown) => {
            // Its run, and its supervisor with it, may be just ending.
            let ended = tokio::time::timeout(SUPERVISOR_ENDS, settled(inner, id)).await;
            return Err(ended.map_or(error, |()| {
                Error::conflict(format!("container {id} is not running"))
            }));
        }
        other => other?,
    }
    tell_kill(inner, &container, number).await;
    Ok(())
}

async fn tell_kill(inner: &Arc<Inner>, container: &Container, signal: i32) {
    let signal = [("signal", signal.to_string())];
    inner
        .tell(inner.change().container_event("kill", container, &signal))
        .await;
}

async fn tell_stop(inner: &Arc<Inner>, container: &Container) -> Result<()> {
    let change = inner.change().container_event("stop", container, &[]);
    inner.tell(change).await;
    Ok(())
}

/// Returns when nothing of the last run is held any more.
pub(crate) async fn wait_settled(inner: &Arc<Inner>, id: &ContainerId) -> Result<()> {
    tokio::time::timeout(AFTER_KILL, settled(inner, id))
        .await
        .map_err(|_| {
            Error::unknown(format!(
                "container {id} was killed but has not ended within {} s",
                AFTER_KILL.as_secs()
            ))
        })
}

async fn settled(inner: &Arc<Inner>, id: &ContainerId) {
    if let Ok(mut seen) = inner.watch(id) {
        // A closed channel means it was removed.
        let _ = seen.wait_for(|seen| seen.removed || seen.settled).await;
    }
}

/// A process that has just ended cannot be signalled, and need not be; its supervisor may have ended with it.
pub(super) async fn gone_is_fine(
    inner: &Arc<Inner>,
    id: &ContainerId,
    result: Result<()>,
) -> Result<()> {
    match result {
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => Ok(()),
        Err(error) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Unknown) => {
            let ended = tokio::time::timeout(SUPERVISOR_ENDS, settled(inner, id)).await;
            ended.map_err(|_| error)
        }
        other => other,
    }
}
