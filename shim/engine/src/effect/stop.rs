//! Stopping a run: its signal, patience, SIGKILL. Done when what it held is free.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::{ContainerId, Error, ErrorKind, Result};
use tokio::time::Instant;

use super::Context;
use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::owner::Object;
use crate::signal;

/// How long a killed run may take to be gone before that counts as unknown.
const AFTER_KILL: Duration = Duration::from_secs(60);

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
    if !container.state.is_live() {
        return Err(Error::not_modified(format!("container {id} does not run")));
    }
    let handle = context.handle.clone().ok_or_else(|| {
        Error::unavailable(format!("container {id}: its supervisor does not answer"))
    })?;
    let mut record = (*container).clone();
    if let Some(run) = &mut record.run {
        run.stopped_by_user = true;
    }
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
    let call = inner.call(DRIVER_TIMEOUT);
    let mut patience = context.patience.clone();
    if *patience.borrow() > Instant::now() {
        gone_is_fine(handle.kill(&call, id, number, false).await)?;
        let settled = settled(inner, id);
        tokio::pin!(settled);
        loop {
            let until = *patience.borrow_and_update();
            tokio::select! {
                () = &mut settled => return Ok(()),
                () = tokio::time::sleep_until(until) => break,
                changed = patience.changed() => if changed.is_err() { break },
            }
        }
    }
    gone_is_fine(handle.kill(&call, id, signal::SIGKILL, true).await)?;
    wait_settled(inner, id).await
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

/// A process that has just ended cannot be signalled, and need not be.
fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => Ok(()),
        other => other,
    }
}
