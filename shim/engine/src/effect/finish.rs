//! After an exit: recorded, told, then everything the run held is freed.

use std::sync::Arc;

use gantry_model::call::Call;
use gantry_model::container::Container;
use gantry_model::state::{Move, State};
use gantry_model::supervisor::{Exit, Supervisor};
use gantry_model::{ContainerId, ErrorKind, SandboxId, Timestamp};
use tokio::sync::mpsc;

use super::{network, volume};
use crate::change::{Change, Item};
use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::owner::{Message, policy};

/// The longest time between two tries to write an exit down.
const RETRY: std::time::Duration = std::time::Duration::from_secs(2);
/// The longest time between two tries to clear something away.
pub(super) const RETRY_LONGEST: std::time::Duration = std::time::Duration::from_secs(60);

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
        let died = exit.unknown;
        self.record(&container, exit).await;
        gantry_fault::pass("engine.finish.after-record");
        let call = self.inner.call(DRIVER_TIMEOUT);
        if self.pod && died {
            // Its supervisor is gone: what still runs in the pod holds the root file system and is killed first.
            if let Some(run) = &container.run
                && let Ok(sandbox) = self.inner.sandbox(&run.sandbox)
            {
                discard(&self.inner, &call, &sandbox.id, &sandbox.cgroup).await;
            }
        } else if self.pod {
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

    /// Writes the exit down, however long the database refuses it (a full disk): nothing else may be said before.
    async fn record(&self, container: &Container, exit: Exit) {
        let mut pause = std::time::Duration::from_millis(100);
        while let Err(error) = self.inner.ledger.write(self.ending(container, &exit)).await {
            if self.inner.container(&container.id).is_err() {
                return;
            }
            tracing::error!(container = %container.id, %error, "an exit cannot be recorded yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY);
        }
    }

    fn ending(&self, container: &Container, exit: &Exit) -> Change {
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
        with_policy(change, record, self.inner.now())
    }

    async fn free_sandbox(&self, call: &Call, container: &Container) {
        let Some(run) = &container.run else { return };
        network::leave_all(&self.inner, call, &run.sandbox).await;
        gantry_fault::pass("engine.finish.after-leave");
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
            gantry_fault::pass("engine.finish.after-shutdown");
            discard(&self.inner, call, &run.sandbox, &cgroup).await;
            gantry_fault::pass("engine.finish.after-discard");
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

/// Puts the record of an ended run into a change, and with it whether and when its policy starts it again.
pub(crate) fn with_policy(change: Change, record: Container, now: Timestamp) -> Change {
    let id = record.id.clone();
    let cause = record.run.as_ref().and_then(|run| {
        let exit = run.exit.as_ref()?;
        let ran = u64::try_from(exit.at.0.saturating_sub(run.started_at.0)).unwrap_or(0);
        Some(policy::Cause::Exited {
            code: exit.code,
            ran: std::time::Duration::from_nanos(ran),
        })
    });
    let change = change.container(record);
    match cause {
        Some(cause) => change.amend(&id, move |record| {
            record.restart = policy::after(record, cause, now);
        }),
        None => change,
    }
}

/// Clears away what a dead supervisor left; if that fails now (no descriptors, say), again until it does not.
pub(crate) async fn discard(inner: &Arc<Inner>, call: &Call, id: &SandboxId, cgroup: &str) {
    let Err(error) = inner.supervisors.discard(call, id, cgroup).await else {
        return;
    };
    tracing::warn!(sandbox = %id, %error, "clearing away a sandbox; it is tried again");
    let (inner, id, cgroup) = (Arc::clone(inner), id.clone(), cgroup.to_owned());
    tokio::spawn(async move {
        let mut pause = RETRY;
        loop {
            tokio::time::sleep(pause).await;
            let call = inner.call(DRIVER_TIMEOUT);
            match inner.supervisors.discard(&call, &id, &cgroup).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(sandbox = %id, %error, "clearing it away again"),
            }
            pause = (pause * 2).min(RETRY_LONGEST);
        }
    });
}
