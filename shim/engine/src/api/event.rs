//! Events.

use std::sync::Arc;

use gantry_model::event::Event;
use tokio::sync::broadcast;

use crate::Engine;

/// What happened and happens, in order.
pub struct EventStream {
    pub(crate) past: std::collections::VecDeque<Arc<Event>>,
    pub(crate) live: broadcast::Receiver<Arc<Event>>,
    pub(crate) last: u64,
}

impl EventStream {
    /// The next event. `None` when the engine ends, or when this reader was so slow that events were dropped for it
    /// (it must subscribe anew from the last sequence number it saw). Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        if let Some(event) = self.past.pop_front() {
            self.last = event.sequence;
            return Some(event);
        }
        loop {
            let event = self.live.recv().await.ok()?;
            if event.sequence > self.last {
                self.last = event.sequence;
                return Some(event);
            }
        }
    }

    /// The next event that has happened already; does not wait.
    pub fn next_past(&mut self) -> Option<Arc<Event>> {
        let event = self.past.pop_front()?;
        self.last = event.sequence;
        Some(event)
    }
}

impl Engine {
    /// All kept events (the last 10,000) and what comes. Doors filter by time, type and origin.
    pub fn events(&self) -> EventStream {
        self.inner.ledger.events.subscribe()
    }
}
