//! Work and rest: all clients work until they are told to stop, clear up, and stand still until they may go on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long clients may take to clear up.
const CLEARING: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Work,
    Rest,
    Leave,
}

#[derive(Debug)]
struct State {
    order: Order,
    resting: usize,
}

/// What all clients look at.
#[derive(Debug)]
pub(crate) struct Stage {
    clients: usize,
    state: Mutex<State>,
    changed: Condvar,
}

impl Stage {
    pub(crate) fn new(clients: usize) -> Self {
        Self {
            clients,
            state: Mutex::new(State {
                order: Order::Rest,
                resting: 0,
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For clients: whether to go on working.
    pub(crate) fn works(&self) -> bool {
        self.state().order == Order::Work
    }

    /// For clients, cleared up: stands still until there is work again; `false` when there is none any more.
    pub(crate) fn rest(&self) -> bool {
        let mut state = self.state();
        state.resting += 1;
        self.changed.notify_all();
        while state.order == Order::Rest {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.resting -= 1;
        state.order == Order::Work
    }

    /// Lets everybody work for a while; all stand still when this returns.
    pub(crate) fn work(&self, length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        let mut state = self.state();
        state.order = Order::Work;
        self.changed.notify_all();
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.order = Order::Rest;
        let end = Instant::now() + CLEARING;
        while state.resting < self.clients {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                bail!(
                    "{} of {} clients did not come to rest within {CLEARING:?}",
                    self.clients - state.resting,
                    self.clients
                );
            };
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(())
    }

    /// Sends everybody home.
    pub(crate) fn leave(&self) {
        self.state().order = Order::Leave;
        self.changed.notify_all();
    }
}
