//! Waiting for a container's run to end or for the container to be gone.
//!
//! A container that waits for a restart by policy counts as running, as Docker has it: who waits for it to stop is
//! answered by the next exit, or by the end of its restarts.

use gantry_model::state::State;
use tokio::sync::watch;

use crate::ledger::Seen;
use crate::{WaitCondition, Waited};

/// Ends when the condition holds, judged from the moment `seen` was made.
pub(crate) async fn until(mut seen: watch::Receiver<Seen>, condition: WaitCondition) -> Waited {
    let first = seen.borrow().clone();
    let waiting = Waiting::new(&first, condition);
    // An error says that the sender is gone, and so is the container: its last value is the answer as well.
    drop(seen.wait_for(|now| waiting.is_over(now)).await);
    let last = seen.borrow().clone();
    let run = last.container.run.as_ref();
    Waited {
        // Woken late, it may see the next run already: then the one before has ended.
        exit: last.container.last_exit().cloned(),
        error: run.map(|run| run.error.clone()).unwrap_or_default(),
    }
}

/// What somebody waits for.
struct Waiting {
    condition: WaitCondition,
    /// It counted as running at the beginning.
    running: bool,
    /// It waited for a restart, or was in one, at the beginning.
    restarting: bool,
    /// The run whose end counts: the one that was going on, or else the one after the last.
    run: u32,
}

impl Waiting {
    fn new(first: &Seen, condition: WaitCondition) -> Self {
        let live = first.container.state.is_live();
        // Until its next run has started it waits for a restart, though that is not due any more.
        let by_policy = is_starting(first) && first.container.restart.by_policy;
        let restarting = first.container.restart.due.is_some() || by_policy;
        let number = first.container.run.as_ref().map_or(0, |run| run.number);
        let goes_on = live || is_starting(first);
        Self {
            condition,
            running: live || restarting,
            restarting,
            run: if goes_on { number } else { number + 1 },
        }
    }

    fn is_over(&self, now: &Seen) -> bool {
        now.removed
            || match self.condition {
                WaitCondition::Removed => false,
                WaitCondition::NotRunning => !self.running || self.has_ended(now),
                WaitCondition::NextExit => self.has_ended(now),
            }
    }

    /// The run that counts has ended, or the restart that was waited for will not come.
    fn has_ended(&self, now: &Seen) -> bool {
        let idle = !now.container.state.is_live() && !is_starting(now);
        let ended = now.container.run.as_ref().is_some_and(|run| {
            // A start by a user that fails is told to that user; it is no exit.
            let over = now.container.state == State::Exited && run.exit.is_some();
            run.number > self.run || (run.number == self.run && over)
        });
        ended || (self.restarting && idle && now.container.restart.due.is_none())
    }
}

/// Its run is recorded and has neither started nor failed yet.
fn is_starting(seen: &Seen) -> bool {
    seen.container
        .run
        .as_ref()
        .is_some_and(|run| run.exit.is_none() && run.started_at.0 == 0)
}

#[cfg(test)]
mod tests;
