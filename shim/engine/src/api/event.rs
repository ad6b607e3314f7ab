//! Events.

use std::sync::Arc;

use gantry_model::ContainerId;
use gantry_model::event::Event;
use tokio::sync::watch;

use crate::Engine;
use crate::change::Change;
use crate::events::Log;
use crate::inner::Inner;

/// What a reader of events gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextEvent {
    /// The next event.
    Event(Arc<Event>),
    /// Events after the last one seen are not kept any more: this reader was too slow, or it asked for a number that
    /// is too long ago. Reading on gives all that is still kept.
    Lagged {
        /// The last number this reader saw.
        last_seen: u64,
        /// The next number it will see.
        next: u64,
    },
}

/// What happened and happens, in order.
///
/// A reader has no queue of its own: it reads the kept log, so one that is slow costs nothing and misses only what the
/// log itself has dropped meanwhile; it is told so once, and goes on.
pub struct EventStream {
    pub(crate) log: Arc<Log>,
    pub(crate) shown: watch::Receiver<u64>,
    /// The last number shown when this reader came.
    pub(crate) past: u64,
    pub(crate) last: u64,
    /// It knows that events up to this number may be missing.
    pub(crate) told: u64,
}

impl EventStream {
    /// The next event, or what was missed. `None` when the engine ends. Cancel safe.
    pub async fn next(&mut self) -> Option<NextEvent> {
        loop {
            // Marked as seen before the look, so that what comes in between wakes the wait below.
            self.shown.mark_unchanged();
            if let Some(next) = self.read(u64::MAX) {
                return Some(next);
            }
            self.shown.changed().await.ok()?;
        }
    }

    /// The next event of those that had happened when this reader came; does not wait.
    pub fn next_past(&mut self) -> Option<NextEvent> {
        self.read(self.past)
    }

    fn read(&mut self, until: u64) -> Option<NextEvent> {
        let (next, told) = self.log.next(self.last, self.told, until)?;
        self.told = told;
        if let NextEvent::Event(event) = &next {
            self.last = event.sequence;
        }
        Some(next)
    }
}

impl Engine {
    /// All kept events and what comes. Kept are the last 10,000 (of those that change no state, like execs, the last
    /// 4,000), 8 MiB at most, for seven days; the store keeps the same. Doors filter by time, type and origin.
    pub fn events(&self) -> EventStream {
        let now = self.inner.now().0;
        self.inner.ledger.events.subscribe(now)
    }

    /// Events after that number: for a reader that comes back. It is told first when some of them are not kept any
    /// more.
    pub fn events_after(&self, sequence: u64) -> EventStream {
        let now = self.inner.now().0;
        self.inner.ledger.events.subscribe_after(sequence, now)
    }

    /// Tells an event that only a door knows of (`detach`, `exec_detach`, `top`, `export`…), in Docker's words. It is
    /// numbered and kept like others, but nobody waits for the disk. A container that is gone has no more events.
    pub fn tell_container(&self, id: &ContainerId, action: &str, attributes: &[(&str, String)]) {
        self.inner.tell_container(id, action, attributes);
    }
}

impl Inner {
    /// As [`Inner::tell`], without waiting.
    pub(crate) fn tell_soon(self: &Arc<Self>, change: Change) {
        match self.ledger.tell_soon(change) {
            Ok(None) => {}
            Ok(Some(untold)) => {
                let inner = Arc::clone(self);
                tokio::spawn(async move {
                    if let Err(error) = inner.ledger.tell_untold(untold).await {
                        tracing::warn!(%error, "writing an event");
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "writing an event"),
        }
    }

    /// Tells an event of a container that changes no state.
    pub(crate) fn tell_container(
        self: &Arc<Self>,
        id: &ContainerId,
        action: &str,
        attributes: &[(&str, String)],
    ) {
        if let Ok(container) = self.container(id) {
            self.tell_soon(
                self.change()
                    .container_event(action, &container, attributes),
            );
        }
    }
}
