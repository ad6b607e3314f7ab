//! The event log: numbers, the last of it in memory, and subscribers.
//!
//! A number is taken when a change is written; the event is shown when that change is durable, in the order of numbers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_model::event::Event;
use tokio::sync::broadcast;

use crate::api::event::EventStream;

/// How many events are kept, in memory and in the store.
pub(crate) const KEPT: u64 = 10_000;

/// How far a subscriber may lag behind before it is told so.
const LAG: usize = 4096;

pub(crate) struct Events {
    state: Mutex<State>,
    live: broadcast::Sender<Arc<Event>>,
}

struct State {
    next: u64,
    shown: u64,
    kept: VecDeque<Arc<Event>>,
    waiting: BTreeMap<u64, Option<Arc<Event>>>,
}

impl Events {
    /// Goes on after what the store holds.
    pub(crate) fn new(mut past: Vec<Event>) -> Self {
        past.sort_by_key(|event| event.sequence);
        let last = past.last().map_or(0, |event| event.sequence);
        let state = State {
            next: last + 1,
            shown: last,
            kept: past.into_iter().map(Arc::new).collect(),
            waiting: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(state),
            live: broadcast::channel(LAG).0,
        }
    }

    /// Takes the next number.
    pub(crate) fn number(&self) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        state.next - 1
    }

    /// Shows the event of that number, or (with `None`) says that its change was not written.
    pub(crate) fn settle(&self, number: u64, event: Option<Event>) {
        let mut state = self.lock();
        state.waiting.insert(number, event.map(Arc::new));
        loop {
            let next = state.shown + 1;
            let Some(event) = state.waiting.remove(&next) else {
                break;
            };
            state.shown = next;
            if let Some(event) = event {
                state.kept.push_back(Arc::clone(&event));
                if state.kept.len() as u64 > KEPT {
                    state.kept.pop_front();
                }
                // Nobody listening is no error.
                let _ = self.live.send(event);
            }
        }
    }

    pub(crate) fn subscribe(&self) -> EventStream {
        let state = self.lock();
        EventStream {
            past: state.kept.clone(),
            live: self.live.subscribe(),
            last: 0,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Events;
    use gantry_model::Timestamp;
    use gantry_model::event::{Event, Subject};

    fn event(sequence: u64) -> Event {
        Event {
            sequence,
            at: Timestamp(1),
            subject: Subject::Container,
            action: "start".to_owned(),
            id: String::new(),
            origin: None,
            attributes: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn shows_in_the_order_of_numbers_and_skips_what_was_not_written() {
        let events = Events::new(vec![event(7)]);
        let (a, b, c) = (events.number(), events.number(), events.number());
        assert_eq!((a, b, c), (8, 9, 10));
        let mut stream = events.subscribe();
        events.settle(c, Some(event(c)));
        events.settle(b, None);
        assert_eq!(stream.next_past().map(|e| e.sequence), Some(7));
        assert!(
            events.subscribe().past.len() == 1,
            "8 is not settled, nothing after it may be shown"
        );
        events.settle(a, Some(event(a)));
        let seen: Vec<u64> = events.subscribe().past.iter().map(|e| e.sequence).collect();
        assert_eq!(seen, [7, 8, 10]);
    }
}
