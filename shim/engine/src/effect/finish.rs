//! After an exit: recorded, told, then everything the run held is freed.

use std::sync::Arc;

use gantry_model::call::Call;
use gantry_model::container::Container;
use gantry_model::state::{Move, State};
use gantry_model::supervisor::{Exit, Supervisor};
use gantry_model::{ContainerId, ErrorKind, Result, SandboxId};
use tokio::sync::mpsc;

use super::{network, volume};
use crate::change::Item;
use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::owner::Message;

pub(crate) struct Finish {
    pub(crate) inner: Arc<Inner>,
    pub(crate) owner: mpsc::UnboundedSender<Message>,
    pub(crate) handle: Option<Arc<dyn Supervisor>>,
    pub(crate) pod: bool,
}

impl Finish {
    /// Never fails: what could not be freed is logged here and freed by the next start-up's recovery.
    pub(crate) async fn run(&self, id: &ContainerId, exit: Exit) {
        let Ok(container) = self.inner.container(id) else {
            return;
        };
        if let Err(error) = self.record(&container, exit).await {
            tracing::error!(container = %id, %error, "recording an exit");
        }
        let call = self.inner.call(DRIVER_TIMEOUT);
        if self.pod {
            if let Some(handle) = &self.handle
                && let Err(error) = handle.delete(&call, id).await
                && error.kind != ErrorKind::NotFound
            {
                tracing::warn!(container = %id, %error, "freeing an ended container");
            }
        } else {
            self.free_sandbox(&call, &container).await;
        }
        volume::release(&self.inner, &call, &container).await;
    }

    async fn record(&self, container: &Container, exit: Exit) -> Result<()> {
        let mut record = container.clone();
        record.state = record.state.after(Move::Exited).unwrap_or(State::Exited);
        let code = exit.code.to_string();
        if let Some(run) = &mut record.run {
            run.pid = 0;
            if exit.unknown {
                "its supervisor died, how the run ended is not known".clone_into(&mut run.error);
            }
            run.exit = Some(exit.clone());
        }
        let mut change = self.inner.change();
        if exit.oom {
            change = change.container_event("oom", &record, &[]);
        }
        let change = change.container_event("die", &record, &[("exitCode", code)]);
        self.inner.ledger.write(change.container(record)).await
    }

    async fn free_sandbox(&self, call: &Call, container: &Container) {
        let Some(run) = &container.run else { return };
        network::leave_all(&self.inner, call, &run.sandbox).await;
        // Told first: the supervisor's end is ours and no accident.
        let _ = self.owner.send(Message::Down);
        if let Some(handle) = &self.handle
            && let Err(error) = handle.shutdown(call).await
        {
            tracing::warn!(container = %container.id, %error, "ending a supervisor");
        }
        let cgroup = self
            .inner
            .sandbox(&run.sandbox)
            .map(|sandbox| sandbox.cgroup.clone());
        if let Ok(cgroup) = cgroup {
            discard(&self.inner, call, &run.sandbox, &cgroup).await;
            let change = self
                .inner
                .change()
                .with(Item::NoSandbox(run.sandbox.clone()));
            if let Err(error) = self.inner.ledger.write(change).await {
                tracing::error!(sandbox = %run.sandbox, %error, "recording that a sandbox is gone");
            }
        }
    }
}

/// Clears away what a dead supervisor left.
pub(crate) async fn discard(inner: &Arc<Inner>, call: &Call, id: &SandboxId, cgroup: &str) {
    if let Err(error) = inner.supervisors.discard(call, id, cgroup).await {
        tracing::warn!(sandbox = %id, %error, "clearing away a sandbox");
    }
}
