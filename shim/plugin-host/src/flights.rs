//! The calls of one plugin that have not returned: for `gantry plugin list`, and to say at once why an object is locked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use gantry_model::plugin::PluginCall;
use gantry_model::{OperationId, Timestamp};
use tokio::sync::Notify;

/// The calls of one plugin.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// A caller was told that the outcome of its call is not known.
    late: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    calls: BTreeMap<u64, Entry>,
    answers: u64,
    last: String,
}

struct Entry {
    call: PluginCall,
    began: Instant,
}

/// One call's place in the list; dropped, the call has returned or was never made.
pub(crate) struct Ticket {
    number: u64,
    flights: Flights,
}

impl Flights {
    /// Adds a call.
    pub(crate) fn add(
        &self,
        function: &str,
        objects: &[&str],
        operation: &OperationId,
        timeout: Duration,
    ) -> Ticket {
        let since = Timestamp::from_system(SystemTime::now());
        let nanos = i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX);
        let call = PluginCall {
            function: function.to_owned(),
            objects: objects.iter().map(ToString::to_string).collect(),
            operation: operation.clone(),
            since,
            deadline: Timestamp(since.0.saturating_add(nanos)),
            late: false,
        };
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let began = Instant::now();
        state.calls.insert(number, Entry { call, began });
        Ticket {
            number,
            flights: self.clone(),
        }
    }

    /// All calls, oldest first.
    pub(crate) fn list(&self) -> Vec<PluginCall> {
        let state = self.lock();
        state.calls.values().map(|one| one.call.clone()).collect()
    }

    /// The call past its deadline that keeps one of these objects, in words.
    pub(crate) fn overdue(&self, objects: &[&str]) -> Option<String> {
        let state = self.lock();
        let keeps = |one: &&Entry| {
            let mine = |object: &String| objects.contains(&object.as_str());
            one.call.late && one.call.objects.iter().any(mine)
        };
        let one = state.calls.values().find(keeps)?;
        Some(format!(
            "{}; its object is locked until it does",
            one.words()
        ))
    }

    /// A call past its deadline that changes something, whatever it is.
    pub(crate) fn any_overdue(&self) -> Option<String> {
        let state = self.lock();
        let changes = |one: &&Entry| one.call.late && !one.call.objects.is_empty();
        let one = state.calls.values().find(changes)?;
        Some(format!("{}; nothing else is begun before", one.words()))
    }

    /// Whether so many calls are past their deadline that none of the plugin's threads is left, in words.
    pub(crate) fn exhausted(&self, threads: usize) -> Option<String> {
        let state = self.lock();
        let late: Vec<&Entry> = state.calls.values().filter(|one| one.call.late).collect();
        let oldest = late.first().filter(|_| late.len() >= threads)?;
        Some(format!(
            "none of its {threads} threads is free: {}",
            oldest.words()
        ))
    }

    /// Returns when the next call becomes late. Registered when this is called, not when it is awaited.
    pub(crate) fn next_late(&self) -> impl Future<Output = ()> + '_ {
        let mut notified = Box::pin(self.0.late.notified());
        notified.as_mut().enable();
        notified
    }

    /// Notes that a call returned after its caller had gone; how often that was, and the last one in words.
    pub(crate) fn answered_late(&self, words: String) {
        let mut state = self.lock();
        state.answers += 1;
        state.last = words;
    }

    /// How many calls returned late, and the last of them in words.
    pub(crate) fn late_answers(&self) -> (u64, String) {
        let state = self.lock();
        (state.answers, state.last.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// `prepare of X has not returned since 12 s`.
    fn words(&self) -> String {
        let object = self.call.objects.first();
        let of = object.map_or(String::new(), |object| format!(" of {object}"));
        let seconds = self.began.elapsed().as_secs();
        format!(
            "{}{of} has not returned since {seconds} s",
            self.call.function
        )
    }
}

impl Ticket {
    /// The caller is told that the outcome is not known.
    pub(crate) fn is_late(&self) {
        if let Some(one) = self.flights.lock().calls.get_mut(&self.number) {
            one.call.late = true;
        }
        self.flights.0.late.notify_waiters();
    }

    /// How long ago it was asked for.
    pub(crate) fn age(&self) -> Duration {
        let state = self.flights.lock();
        let one = state.calls.get(&self.number);
        one.map_or(Duration::ZERO, |one| one.began.elapsed())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.flights.lock().calls.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> OperationId {
        OperationId::from_random([7; 32])
    }

    #[test]
    fn only_a_late_call_on_the_same_object_is_in_the_way() {
        let flights = Flights::default();
        let limit = Duration::from_secs(1);
        let first = flights.add("prepare", &["a", "b"], &operation(), limit);
        assert_eq!(flights.overdue(&["a"]), None);
        first.is_late();
        let words = flights.overdue(&["b"]).unwrap();
        assert!(
            words.starts_with("prepare of a has not returned since 0 s"),
            "{words}"
        );
        assert_eq!(flights.overdue(&["c"]), None);
        assert_eq!(flights.overdue(&[]), None);
        assert_eq!(flights.exhausted(2), None);
        assert!(flights.exhausted(1).unwrap().contains("prepare of a"));
        assert!(flights.list()[0].late);
        drop(first);
        assert_eq!(flights.overdue(&["a"]), None);
        assert!(flights.list().is_empty());
    }

    #[tokio::test]
    async fn a_waiter_hears_of_the_next_late_call() {
        let flights = Flights::default();
        let ticket = flights.add("create", &["v"], &operation(), Duration::ZERO);
        let heard = flights.next_late();
        ticket.is_late();
        tokio::time::timeout(Duration::from_secs(5), heard)
            .await
            .unwrap();
    }
}
