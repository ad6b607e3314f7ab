//! Numbers, bounds, and readers that lag.

use std::collections::BTreeMap;

use gantry_model::Timestamp;
use gantry_model::event::{Event, Subject};
use gantry_store::Batch;

use super::{Events, KEPT, KEPT_BYTES, KEPT_FLEETING, KEPT_NANOS, PROMISED};
use crate::api::event::{EventStream, NextEvent};

fn event(action: &str) -> Event {
    Event {
        sequence: 0,
        at: Timestamp(KEPT_NANOS),
        subject: Subject::Container,
        action: action.to_owned(),
        id: String::new(),
        origin: None,
        attributes: BTreeMap::new(),
    }
}

fn add(events: &Events, action: &str) {
    let mut batch = Batch::new();
    events
        .stage(&mut batch, vec![event(action)])
        .unwrap()
        .settle(true);
}

fn numbers(mut stream: EventStream) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(next) = stream.next_past() {
        match next {
            NextEvent::Event(event) => seen.push(event.sequence),
            NextEvent::Lagged { .. } => panic!("nothing was missed: {seen:?}"),
        }
    }
    seen
}

fn past(sequence: u64, action: &str) -> Event {
    Event {
        sequence,
        ..event(action)
    }
}

#[test]
fn shows_in_the_order_of_numbers_and_skips_what_was_not_written() {
    let events = Events::new(vec![past(7, "start")], 7);
    let mut batch = Batch::new();
    let [a, b, c, d] = [(); 4].map(|()| events.stage(&mut batch, vec![event("die")]).unwrap());
    d.settle(true);
    b.settle(false);
    drop(c);
    assert_eq!(numbers(events.subscribe(0)), [7], "8 is not settled yet");
    a.settle(true);
    assert_eq!(numbers(events.subscribe(0)), [7, 8, 11]);
}

#[test]
fn numbers_go_on_after_what_was_promised() {
    let events = Events::new(vec![past(7, "start")], 0);
    let mut batch = Batch::new();
    let first = events.stage(&mut batch, vec![event("exec_die")]).unwrap();
    assert!(!first.may_be_shown(), "no promise is on disk yet");
    let promise = first.promise.unwrap();
    assert!(promise >= 8 + PROMISED);
    let second = events.stage(&mut batch, vec![event("exec_die")]).unwrap();
    assert!(second.promise.is_none(), "one promise at a time");
    first.settle(true);
    assert!(second.may_be_shown());
    second.settle(true);

    // Killed now: the store has the promise, and perhaps none of the events.
    let events = Events::new(Vec::new(), promise);
    assert_eq!(numbers(events.subscribe(0)), [] as [u64; 0]);
    add(&events, "start");
    assert_eq!(numbers(events.subscribe(0)), [promise + 1]);
}

#[test]
fn a_promise_that_was_not_written_is_made_again() {
    let events = Events::new(Vec::new(), 0);
    let mut batch = Batch::new();
    let lost = events.stage(&mut batch, vec![event("start")]).unwrap();
    assert!(lost.promise.is_some());
    drop(lost);
    let next = events.stage(&mut batch, vec![event("start")]).unwrap();
    assert!(next.promise.is_some());
}

#[test]
fn fleeting_events_do_not_push_out_the_others() {
    let events = Events::new(Vec::new(), 0);
    add(&events, "start");
    for _ in 0..2 * KEPT {
        add(&events, "exec_create: true");
    }
    let seen = numbers(events.subscribe(0));
    assert_eq!(seen.len(), KEPT_FLEETING + 1);
    assert_eq!(seen[0], 1, "the start is kept");
    for _ in 0..KEPT {
        add(&events, "die");
    }
    assert_eq!(numbers(events.subscribe(0)).len(), KEPT);
}

#[test]
fn is_bounded_by_bytes_and_by_age() {
    let events = Events::new(Vec::new(), 0);
    for _ in 0..32 {
        let mut large = event("start");
        large
            .attributes
            .insert("label".to_owned(), "x".repeat(KEPT_BYTES / 8));
        let mut batch = Batch::new();
        events.stage(&mut batch, vec![large]).unwrap().settle(true);
    }
    assert!((1..=8).contains(&numbers(events.subscribe(0)).len()));
    let later = 2 * KEPT_NANOS + 1;
    assert!(
        numbers(events.subscribe(later)).is_empty(),
        "a week is over"
    );
}

#[test]
fn what_is_dropped_leaves_the_store_with_later_writes() {
    let past_ones = (1..=KEPT as u64 + 600).map(|n| past(n, "start")).collect();
    let events = Events::new(past_ones, 0);
    let mut writes = 0;
    // Each write pushes one out itself.
    while events.log.lock().stale.len() > 1 {
        add(&events, "die");
        writes += 1;
        assert!(writes < 10, "deletions do not keep up");
    }
}

#[tokio::test]
async fn a_reader_that_lags_is_told_once_and_goes_on_with_all_that_is_kept() {
    let events = Events::new(Vec::new(), 0);
    add(&events, "create");
    let mut stream = events.subscribe(0);
    assert!(matches!(stream.next().await, Some(NextEvent::Event(e)) if e.sequence == 1));
    let total = KEPT as u64 + 50;
    for _ in 0..total {
        add(&events, "die");
    }
    let lagged = stream.next().await.unwrap();
    assert_eq!(
        lagged,
        NextEvent::Lagged {
            last_seen: 1,
            next: 52
        }
    );
    for expected in 52..=total + 1 {
        match stream.next().await {
            Some(NextEvent::Event(event)) => assert_eq!(event.sequence, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    // It waits for what comes, and ends with the log.
    let next = tokio::spawn(async move { (stream.next().await, stream.next().await) });
    add(&events, "destroy");
    drop(events);
    let (event, end) = next.await.unwrap();
    assert!(matches!(event, Some(NextEvent::Event(_))));
    assert!(end.is_none());
}

#[test]
fn who_comes_back_with_an_old_number_is_told() {
    let events = Events::new(Vec::new(), 0);
    for _ in 0..KEPT + 10 {
        add(&events, "die");
    }
    let mut stream = events.subscribe_after(3, 0);
    let first = stream.next_past();
    assert_eq!(
        first,
        Some(NextEvent::Lagged {
            last_seen: 3,
            next: 11
        })
    );
    assert!(matches!(stream.next_past(), Some(NextEvent::Event(e)) if e.sequence == 11));
    let seen = numbers(events.subscribe_after(KEPT as u64, 0));
    assert_eq!(seen.len(), 10);
}
