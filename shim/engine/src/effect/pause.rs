//! Freezing and thawing.

use gantry_model::operation::OperationKind;
use gantry_model::state::{Move, State};
use gantry_model::{ContainerId, Error, Result};

use super::Context;
use crate::inner::DRIVER_TIMEOUT;

pub(crate) async fn run(context: &Context, id: &ContainerId, paused: bool) -> Result<()> {
    let inner = &context.inner;
    let container = inner.container(id)?;
    let (what, action) = if paused {
        (Move::Paused, "pause")
    } else {
        (Move::Resumed, "unpause")
    };
    let next = container
        .state
        .after(what)
        .map_err(|_| match (container.state, paused) {
            _ if container.restart.due.is_some() => Error::conflict(format!(
                "container {id} is restarting, wait until the container is running"
            )),
            (State::Paused, true) => Error::conflict(format!("container {id} is already paused")),
            (State::Running, false) => Error::conflict(format!("container {id} is not paused")),
            _ => Error::conflict(format!("container {id} is not running")),
        })?;
    let handle = context.handle.clone().ok_or_else(|| {
        Error::unavailable(format!("container {id}: its supervisor does not answer"))
    })?;
    let (_operation, call) = inner.operation_with(
        OperationKind::PauseContainer,
        id.as_str(),
        DRIVER_TIMEOUT,
        context.cancel.clone(),
    );
    inner.waits(&call, "the container's cgroup to be frozen or thawed");
    handle.set_paused(&call, id, paused).await?;
    gantry_fault::pass("engine.pause.before-recorded");
    let mut record = (*container).clone();
    record.state = next;
    inner
        .ledger
        .write(
            inner
                .change()
                .container_event(action, &record, &[])
                .container(record),
        )
        .await
}
