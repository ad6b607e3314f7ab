//! Removing a container: everything it used is free before it is said to be gone.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::call::Call;
use gantry_model::container::Container;
use gantry_model::operation::OperationKind;
use gantry_model::state::{Move, State};
use gantry_model::{ContainerId, Error, ErrorKind, Result};

use super::{Context, network, stop, volume};
use crate::RemoveContainer;
use crate::change::Item;
use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::signal::SIGKILL;

/// How long a supervisor that broke its connection may take to be seen as ended, and between two looks.
const SUPERVISOR_ENDS: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn run(context: &Context, id: &ContainerId, how: RemoveContainer) -> Result<()> {
    let inner = &context.inner;
    let mut container = inner.container(id)?;
    if container.restart.due.is_some() && !how.force {
        return Err(Error::conflict(
            "container is restarting: stop the container before removing or force remove",
        ));
    }
    if container.state.is_live() {
        if !how.force {
            let word = if container.state == State::Paused {
                "paused"
            } else {
                "running"
            };
            return Err(Error::conflict(format!(
                "container is {word}: stop the container before removing or force remove"
            )));
        }
        kill(context, id).await?;
        container = inner.container(id)?;
    }
    let (operation, call) = inner.operation_with(
        OperationKind::RemoveContainer,
        id.as_str(),
        DRIVER_TIMEOUT,
        context.cancel.clone(),
    );
    let mut record = (*container).clone();
    record.state = record.state.after(Move::Removing).map_err(|refused| {
        Error::conflict(format!("container {id} cannot be removed: {refused}"))
    })?;
    record.goes_with_volumes = how.volumes;
    let mut intent = inner
        .change()
        .container(record.clone())
        .amend(id, |record| record.restart.due = None);
    // Tries before this one that failed half-way: this one goes on with what they left.
    for before in inner.recorded(&[OperationKind::RemoveContainer], id.as_str()) {
        intent = intent.with(Item::NoOperation(before));
    }
    let intent = intent.with(Item::Operation(operation.clone()));
    inner.ledger.write(intent).await?;
    gantry_fault::pass("engine.remove.after-intent");
    if record.pod.is_some() {
        free(context, &call, &record).await?;
    }
    // The record stays in `removing` when this fails: the next removal, the late answer of a plugin, or the next
    // start-up goes on from here.
    release(inner, &call, &record).await?;
    unmake(inner, &call, &record).await?;
    gantry_fault::point("engine.remove.after-unmake")?;
    if record.goes_with_volumes {
        remove_volumes(inner, &record).await?;
    }
    let change = inner.change().container_event("destroy", &record, &[]);
    let mut change = change.with(Item::NoContainer(id.clone()));
    for removal in inner.recorded(&[OperationKind::RemoveContainer], id.as_str()) {
        change = change.with(Item::NoOperation(removal));
    }
    inner.ledger.write(change).await?;
    drop(operation);
    inner.forget_execs(id);
    Inner::collect_soon(inner);
    Ok(())
}

/// Anonymous volumes go while the container is recorded still: if this daemon is killed, the next one goes on with them,
/// and what a driver could not remove is tried again. Those that others use stay.
///
/// # Errors
/// The driver's.
pub(crate) async fn remove_volumes(inner: &Arc<Inner>, record: &Container) -> Result<()> {
    let mut first = Ok(());
    for used in record.volumes.iter().filter(|used| used.anonymous) {
        gantry_fault::pass("engine.remove.before-volume");
        let removed = volume::remove(inner, &used.name, Some(&record.id)).await;
        first = first.and(match removed {
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => Ok(()),
            other => other,
        });
    }
    first
}

/// Lets the pod's supervisor free what it holds of a container. One that ends meanwhile holds nothing any more.
async fn free(context: &Context, call: &Call, record: &Container) -> Result<()> {
    let (inner, id) = (&context.inner, &record.id);
    let Some(handle) = &context.handle else {
        return Ok(());
    };
    let error = match handle.delete(call, id).await {
        Err(error) if error.kind != ErrorKind::NotFound => error,
        _ => return Ok(()),
    };
    if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Unknown)
        && let Some(pod) = &record.pod
        && let Ok(sandbox) = inner.sandbox(pod)
    {
        let until = tokio::time::Instant::now() + SUPERVISOR_ENDS;
        while tokio::time::Instant::now() < until {
            match inner.supervisors.discard(call, pod, &sandbox.cgroup).await {
                Ok(()) => return Ok(()),
                Err(alive) if alive.kind == ErrorKind::Conflict => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(_) => break,
            }
        }
    }
    Err(error.context(format!("freeing container {id}")))
}

/// Frees addresses and volumes that a driver had not let go of when the run ended.
async fn release(inner: &Arc<Inner>, call: &Call, record: &Container) -> Result<()> {
    let mut first = Ok(());
    let last = record.run.as_ref().map(|run| &run.sandbox);
    for endpoint in network::orphans(inner) {
        if last == Some(&endpoint.sandbox) {
            first = first.and(network::leave_orphan(inner, &endpoint).await);
        }
    }
    let mine = |_: &str, holder: &ContainerId| *holder == record.id;
    first.and(volume::let_go(inner, call, mine).await)
}

async fn kill(context: &Context, id: &ContainerId) -> Result<()> {
    let inner = &context.inner;
    let handle = context.handle.as_ref().ok_or_else(|| {
        Error::unavailable(format!("container {id}: its supervisor does not answer"))
    })?;
    let call = inner.call(DRIVER_TIMEOUT);
    // No policy may start again what is to go.
    let change = inner.change().amend(id, |record| {
        record.restart.stopped_by_user = true;
        record.restart.due = None;
    });
    inner.ledger.write(change).await?;
    match handle.kill(&call, id, SIGKILL, true).await {
        Err(error) if !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => {
            Err(error)
        }
        _ => stop::wait_settled(inner, id).await,
    }
}

/// Removes layer and folder; what is not there is gone already.
pub(crate) async fn unmake(inner: &Arc<Inner>, call: &Call, record: &Container) -> Result<()> {
    let id = record.id.as_str();
    inner.waits(call, format!("snapshotter {}: remove", record.snapshotter));
    gantry_fault::point("engine.unmake.before-snapshot")?;
    let result = inner
        .drivers
        .snapshotter(&record.snapshotter)?
        .remove(call, id)
        .await;
    if let Err(error) = result
        && error.kind != ErrorKind::NotFound
    {
        return Err(error.context(format!("removing the writable layer of container {id}")));
    }
    gantry_fault::point("engine.unmake.after-snapshot")?;
    inner.host.remove_dir(&inner.container_dir(id)).await
}
