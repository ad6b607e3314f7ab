//! Waiting for a container's run to end or for the container to be gone.

use gantry_model::state::State;
use tokio::sync::watch;

use crate::ledger::Seen;
use crate::{WaitCondition, Waited};

/// Ends when the condition holds, judged from the moment `seen` was made.
pub(crate) async fn until(mut seen: watch::Receiver<Seen>, condition: WaitCondition) -> Waited {
    let first = seen.borrow().clone();
    let live = first.container.state.is_live();
    // The run that counts for "next exit": the one that is going on, or else the one after the last.
    let number = first.container.run.as_ref().map_or(0, |run| run.number);
    let awaited = if live || is_starting(&first) {
        number
    } else {
        number + 1
    };
    let holds = |now: &Seen| {
        now.removed
            || match condition {
                WaitCondition::Removed => false,
                WaitCondition::NotRunning => !now.container.state.is_live(),
                WaitCondition::NextExit => now.container.run.as_ref().is_some_and(|run| {
                    let ended = now.container.state == State::Exited && run.exit.is_some();
                    run.number > awaited || (run.number == awaited && ended)
                }),
            }
    };
    // An error says that the sender is gone, and so is the container: its last value is the answer as well.
    drop(seen.wait_for(holds).await);
    let last = seen.borrow().clone();
    let run = last.container.run.as_ref();
    Waited {
        exit: run.and_then(|run| run.exit.clone()),
        error: run.map(|run| run.error.clone()).unwrap_or_default(),
    }
}

/// Its run is recorded and has neither started nor failed yet.
fn is_starting(seen: &Seen) -> bool {
    seen.container
        .run
        .as_ref()
        .is_some_and(|run| run.exit.is_none() && run.started_at.0 == 0)
}
