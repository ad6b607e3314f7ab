//! `GET /v1/events[?since=SEQUENCE][&after=NANOSECONDS][&follow=false]`: events as JSON lines, in order.
//!
//! A reader that is so slow, or comes so late, that events it has not seen are not kept any more gets a line
//! `{"lagged":{"last_seen":N,"next":M}}` in their place, and then what is still kept. The stream ends with the engine.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use gantry_engine::{EventStream, NextEvent};
use gantry_model::Error;
use gantry_model::event::Event;
use serde::Deserialize;

use crate::Door;
use crate::answer::Failed;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    /// Only events after this sequence number; the reader is told when some of them are not kept any more.
    since: Option<u64>,
    /// Only events after this moment, in nanoseconds since 1970.
    #[serde(default)]
    after: i64,
    /// Go on with what comes.
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

impl Wanted {
    fn matches(&self, event: &Event) -> bool {
        event.sequence > self.since.unwrap_or(0) && event.at.0 > self.after
    }
}

pub(crate) async fn stream(
    State(door): State<Door>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Failed> {
    let Query(wanted) = wanted.map_err(|e| Error::invalid(e.body_text()))?;
    let events = match wanted.since {
        Some(sequence) => door.engine.events_after(sequence),
        None => door.engine.events(),
    };
    let lines = stream::unfold((events, wanted), async |(mut events, wanted)| {
        let next = next(&mut events, &wanted).await?;
        Some((line(&next), (events, wanted)))
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

async fn next(events: &mut EventStream, wanted: &Wanted) -> Option<NextEvent> {
    loop {
        let next = if wanted.follow {
            events.next().await
        } else {
            events.next_past()
        }?;
        match &next {
            NextEvent::Event(event) if !wanted.matches(event) => {}
            _ => return Some(next),
        }
    }
}

fn line(next: &NextEvent) -> Result<Bytes, serde_json::Error> {
    let mut line = match next {
        NextEvent::Event(event) => serde_json::to_vec(event.as_ref())?,
        NextEvent::Lagged { last_seen, next } => {
            let lagged = serde_json::json!({ "last_seen": last_seen, "next": next });
            serde_json::to_vec(&serde_json::json!({ "lagged": lagged }))?
        }
    };
    line.push(b'\n');
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use super::{Wanted, line};
    use gantry_engine::NextEvent;
    use gantry_model::Timestamp;
    use gantry_model::event::{Event, Subject};

    fn event(sequence: u64, at: i64) -> Event {
        Event {
            sequence,
            at: Timestamp(at),
            subject: Subject::Container,
            action: "start".into(),
            id: "abc".into(),
            origin: None,
            attributes: [("name".to_owned(), "a\nb".to_owned())].into(),
        }
    }

    #[test]
    fn both_limits_must_be_passed() {
        let wanted = Wanted {
            since: Some(5),
            after: 100,
            follow: true,
        };
        assert!(wanted.matches(&event(6, 101)));
        assert!(!wanted.matches(&event(5, 101)));
        assert!(!wanted.matches(&event(6, 100)));
    }

    #[test]
    fn one_event_is_one_line() {
        let bytes = line(&NextEvent::Event(event(1, 1).into())).unwrap();
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1);
        assert!(bytes.ends_with(b"\n"));
    }

    #[test]
    fn what_was_missed_is_a_line_of_its_own() {
        let (last_seen, next) = (3, 9);
        let bytes = line(&NextEvent::Lagged { last_seen, next }).unwrap();
        assert_eq!(&bytes[..], b"{\"lagged\":{\"last_seen\":3,\"next\":9}}\n");
    }
}
