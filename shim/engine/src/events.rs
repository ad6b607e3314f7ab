//! The event log: numbers, what is kept of it, and who reads it.
//!
//! A number is taken when a change is written; the event is shown when that change is durable, in the order of numbers.
//! No number is given twice, whatever is killed when: the store holds a promise ("up to here numbers may be in use")
//! that is always ahead of what was shown, and a daemon that starts goes on after it.
//!
//! Readers have no queues. Each has a place in the one log, so that a slow one costs nothing, and one that is overtaken
//! by the log's end is told what it has missed.

mod packed;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_model::Result;
use gantry_model::event::{Event, Subject};
use gantry_store::{Batch, Table};
use tokio::sync::watch;

use crate::api::event::{EventStream, NextEvent};
use packed::Packed;

/// How many events are kept, in memory and in the store.
pub(crate) const KEPT: usize = 10_000;

/// Of those, events that change no state (execs, attachments): a health check every second must not push out what
/// happened to a container last week.
pub(crate) const KEPT_FLEETING: usize = 4_000;

/// Bytes of all kept events; their labels come from images.
pub(crate) const KEPT_BYTES: usize = 8 << 20;

/// Nanoseconds an event is kept: seven days.
pub(crate) const KEPT_NANOS: i64 = 7 * 86_400 * 1_000_000_000;

/// How many numbers are promised at once: one durable write for that many fleeting events.
const PROMISED: u64 = 10_000;

/// Where the promise is in the store's table of its own.
pub(crate) const PROMISE_KEY: &str = "events.promised";

/// Old events deleted from the store with one write at most; more than one write adds, so that the store keeps up.
const DELETED_AT_ONCE: usize = 256;

pub(crate) struct Events {
    log: Arc<Log>,
    /// The last number shown. Readers end when it is dropped.
    shown: watch::Sender<u64>,
}

/// The part that readers share.
#[derive(Default)]
pub(crate) struct Log(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    shown: u64,
    /// On disk: no number up to this one is given by a later start.
    promised: u64,
    /// Being written.
    promising: u64,
    lasting: Kept,
    fleeting: Kept,
    /// The highest number that was shown and is not kept any more.
    dropped: u64,
    waiting: BTreeMap<u64, Option<Event>>,
    /// Dropped from memory, not yet from the store.
    stale: VecDeque<u64>,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Packed>,
    bytes: usize,
}

/// Numbered events on their way into the store. Dropped without being settled they count as not written, so that no
/// later event waits for them.
pub(crate) struct Numbered {
    log: Arc<Log>,
    shown: watch::Sender<u64>,
    events: Vec<Event>,
    promise: Option<u64>,
}

impl Events {
    /// Goes on after what the store holds and has promised.
    pub(crate) fn new(mut past: Vec<Event>, promised: u64) -> Self {
        past.sort_by_key(|event| event.sequence);
        let last = past.last().map_or(0, |event| event.sequence).max(promised);
        let mut state = State {
            next: last + 1,
            shown: last,
            promised,
            promising: promised,
            ..State::default()
        };
        for event in past {
            state.keep(&event);
        }
        Self {
            log: Arc::new(Log(Mutex::new(state))),
            shown: watch::channel(last).0,
        }
    }

    /// Numbers events and puts them into the batch that makes them durable, with what the log needs besides.
    ///
    /// # Errors
    /// `Internal` when one cannot be written as a record.
    pub(crate) fn stage(&self, batch: &mut Batch, events: Vec<Event>) -> Result<Numbered> {
        let mut numbered = Numbered {
            log: Arc::clone(&self.log),
            shown: self.shown.clone(),
            events,
            promise: None,
        };
        if numbered.events.is_empty() {
            return Ok(numbered);
        }
        {
            let mut state = self.log.lock();
            for event in &mut numbered.events {
                event.sequence = state.next;
                state.next += 1;
            }
            numbered.promise = state.promise();
            for _ in 0..DELETED_AT_ONCE {
                let Some(number) = state.stale.pop_front() else {
                    break;
                };
                batch.delete(Table::Events, &key(number));
            }
        }
        for event in &numbered.events {
            batch.put(Table::Events, &key(event.sequence), event)?;
        }
        if let Some(promise) = numbered.promise {
            batch.put(Table::Meta, PROMISE_KEY, &promise)?;
        }
        Ok(numbered)
    }

    /// A reader of what is kept and what comes.
    pub(crate) fn subscribe(&self, now: i64) -> EventStream {
        let mut state = self.log.lock();
        state.expire(now);
        self.reader(&state, 0, state.dropped)
    }

    /// A reader of what came after that number; it is told when some of that is not kept any more.
    pub(crate) fn subscribe_after(&self, sequence: u64, now: i64) -> EventStream {
        let mut state = self.log.lock();
        state.expire(now);
        self.reader(&state, sequence, 0)
    }

    fn reader(&self, state: &State, last: u64, told: u64) -> EventStream {
        EventStream {
            log: Arc::clone(&self.log),
            shown: self.shown.subscribe(),
            past: state.shown,
            last,
            told,
        }
    }
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a reader at `last` reads next, up to number `until`, and up to where it then knows that events are
    /// missing; until now that was `told`.
    pub(crate) fn next(&self, last: u64, told: u64, until: u64) -> Option<(NextEvent, u64)> {
        let state = self.lock();
        let next = state.after(last).filter(|event| event.sequence <= until);
        if state.dropped > last.max(told) {
            let lagged = NextEvent::Lagged {
                last_seen: last,
                next: next.map_or(state.shown + 1, |event| event.sequence),
            };
            return Some((lagged, state.dropped));
        }
        next.map(|event| (NextEvent::Event(event.unpack()), told))
    }
}

impl Numbered {
    /// Whether these numbers are promised on disk, so that the events may be shown before they are there themselves.
    pub(crate) fn may_be_shown(&self) -> bool {
        let state = self.log.lock();
        self.promise.is_none()
            && self
                .events
                .last()
                .is_none_or(|last| last.sequence <= state.promised)
    }

    /// Shows the events, or (when they were not written) lets those after them pass.
    pub(crate) fn settle(mut self, written: bool) {
        self.settle_as(written);
    }

    fn settle_as(&mut self, written: bool) {
        let events = std::mem::take(&mut self.events);
        let promise = self.promise.take();
        if events.is_empty() && promise.is_none() {
            return;
        }
        let mut state = self.log.lock();
        match promise {
            Some(promise) if written => state.promised = state.promised.max(promise),
            Some(_) => state.promising = state.promised,
            None => {}
        }
        for event in events {
            let number = event.sequence;
            state.waiting.insert(number, written.then_some(event));
        }
        let shown = state.show();
        drop(state);
        self.shown.send_if_modified(|seen| {
            let more = shown > *seen;
            *seen = shown.max(*seen);
            more
        });
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.settle_as(false);
    }
}

impl State {
    /// The next promise, when the last one is half used up and none is being written.
    fn promise(&mut self) -> Option<u64> {
        if self.promising > self.promised || self.next + PROMISED / 2 <= self.promised {
            return None;
        }
        self.promising = self.next + PROMISED;
        Some(self.promising)
    }

    /// Shows what is settled, in order; answers the last number shown.
    fn show(&mut self) -> u64 {
        while let Some(event) = self.waiting.remove(&(self.shown + 1)) {
            self.shown += 1;
            if let Some(event) = event {
                self.keep(&event);
            }
        }
        self.shown
    }

    fn keep(&mut self, event: &Event) {
        let now = event.at.0;
        let kept = if is_fleeting(event) {
            &mut self.fleeting
        } else {
            &mut self.lasting
        };
        let packed = Packed::new(event);
        kept.bytes += packed.size();
        kept.events.push_back(packed);
        while self.fleeting.events.len() > KEPT_FLEETING {
            self.forget(true);
        }
        while self.fleeting.events.len() + self.lasting.events.len() > KEPT {
            self.forget_oldest();
        }
        // The newest is kept whatever its size.
        while self.fleeting.bytes + self.lasting.bytes > KEPT_BYTES
            && self.fleeting.events.len() + self.lasting.events.len() > 1
        {
            self.forget_oldest();
        }
        self.expire(now);
    }

    /// Forgets what is too old.
    fn expire(&mut self, now: i64) {
        let oldest = now.saturating_sub(KEPT_NANOS);
        for fleeting in [true, false] {
            while self
                .kept(fleeting)
                .events
                .front()
                .is_some_and(|event| event.at < oldest)
            {
                self.forget(fleeting);
            }
        }
    }

    fn kept(&mut self, fleeting: bool) -> &mut Kept {
        if fleeting {
            &mut self.fleeting
        } else {
            &mut self.lasting
        }
    }

    fn forget_oldest(&mut self) {
        let front = |kept: &Kept| kept.events.front().map_or(u64::MAX, |event| event.sequence);
        let fleeting = front(&self.fleeting) < front(&self.lasting);
        self.forget(fleeting);
    }

    fn forget(&mut self, fleeting: bool) {
        let kept = self.kept(fleeting);
        let Some(event) = kept.events.pop_front() else {
            return;
        };
        kept.bytes = kept.bytes.saturating_sub(event.size());
        self.dropped = self.dropped.max(event.sequence);
        self.stale.push_back(event.sequence);
    }

    /// The first kept event after that number.
    fn after(&self, last: u64) -> Option<&Packed> {
        let firsts = [&self.lasting, &self.fleeting].map(|kept| {
            let at = kept.events.partition_point(|event| event.sequence <= last);
            kept.events.get(at)
        });
        firsts
            .into_iter()
            .flatten()
            .min_by_key(|event| event.sequence)
    }
}

/// Whether it changes no state.
fn is_fleeting(event: &Event) -> bool {
    const ACTIONS: &[&str] = &[
        "attach",
        "detach",
        "resize",
        "top",
        "export",
        "archive-path",
    ];
    event.subject == Subject::Container
        && (event.action.starts_with("exec_") || ACTIONS.contains(&event.action.as_str()))
}

fn key(number: u64) -> String {
    format!("{number:020}")
}

#[cfg(test)]
mod tests;
