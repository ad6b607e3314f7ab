//! `GET /v1/events[?since=SEQUENCE][&after=NANOSECONDS][&follow=false]`: events as JSON lines, in order.
//!
//! The stream ends when the engine does, or when this reader was so slow that events were dropped for it: it then asks
//! again with `since` set to the last sequence number it saw.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use gantry_engine::EventStream;
use gantry_model::Error;
use gantry_model::event::Event;
use serde::Deserialize;

use crate::Door;
use crate::answer::Failed;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    /// Only events after this sequence number.
    #[serde(default)]
    since: u64,
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
        event.sequence > self.since && event.at.0 > self.after
    }
}

pub(crate) async fn stream(
    State(door): State<Door>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Failed> {
    let Query(wanted) = wanted.map_err(|e| Error::invalid(e.body_text()))?;
    let lines = stream::unfold(
        (door.engine.events(), wanted),
        async |(mut events, wanted)| {
            let event = next(&mut events, &wanted).await?;
            Some((line(&event), (events, wanted)))
        },
    );
    let headers = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

async fn next(events: &mut EventStream, wanted: &Wanted) -> Option<Arc<Event>> {
    loop {
        let event = if wanted.follow {
            events.next().await
        } else {
            events.next_past()
        }?;
        if wanted.matches(&event) {
            return Some(event);
        }
    }
}

fn line(event: &Event) -> Result<Bytes, serde_json::Error> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use super::{Wanted, line};
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
            since: 5,
            after: 100,
            follow: true,
        };
        assert!(wanted.matches(&event(6, 101)));
        assert!(!wanted.matches(&event(5, 101)));
        assert!(!wanted.matches(&event(6, 100)));
    }

    #[test]
    fn one_event_is_one_line() {
        let bytes = line(&event(1, 1)).unwrap();
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1);
        assert!(bytes.ends_with(b"\n"));
    }
}
