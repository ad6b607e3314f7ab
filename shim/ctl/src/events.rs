//! `gantry events`: what happened and happens.

use std::collections::BTreeMap;

use gantry_model::Timestamp;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;

use crate::age::now;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::since::Since;
use crate::table::printable;

/// Bytes of one event; one that is longer is no event.
const LINE_MAX: usize = 1 << 20;

/// The fields shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    sequence: u64,
    at: i64,
    subject: String,
    action: String,
    id: String,
    attributes: BTreeMap<String, String>,
    /// In the place of events that are not kept any more.
    lagged: Option<Lagged>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Lagged {
    last_seen: u64,
    next: u64,
}

pub(crate) async fn run(
    client: &Client,
    output: &Output,
    since: Option<Since>,
    follow: bool,
) -> Result<(), Failure> {
    let (mut last, after) = match since {
        None => (None, 0),
        Some(Since::Sequence(sequence)) => (Some(sequence), 0),
        Some(Since::Moment(moment)) => (None, moment),
        Some(Since::Ago(ago)) => (None, now().saturating_sub(ago)),
    };
    loop {
        let from = last.map_or(String::new(), |last| format!("&since={last}"));
        let path = format!("/v1/events?after={after}&follow={follow}{from}");
        let body = client.stream(&path).await?;
        let seen = print(body, output, last).await?;
        if !follow {
            return Ok(());
        }
        // The daemon went: asking again tells, and goes on where another one is there already.
        if seen == last {
            return Err(Failure::Failed(
                "gantryd ended the stream of events".to_owned(),
            ));
        }
        last = seen;
    }
}

/// Prints until the stream ends; answers the last sequence number seen.
async fn print(
    mut body: Incoming,
    output: &Output,
    mut last: Option<u64>,
) -> Result<Option<u64>, Failure> {
    let mut pending = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            break;
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        pending.extend_from_slice(&data);
        while let Some(end) = pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let event: Event = serde_json::from_slice(&line)
                .map_err(|e| Failure::Failed(format!("read an event: {e}")))?;
            if event.lagged.is_none() {
                last = Some(event.sequence);
            }
            if output.json {
                output.answer(&line)?;
            } else {
                output.line(&show(&event, output.colour))?;
            }
        }
        if pending.len() > LINE_MAX {
            return Err(Failure::Failed("read an event: it has no end".to_owned()));
        }
    }
    Ok(last)
}

fn show(event: &Event, colour: bool) -> String {
    if let Some(missed) = &event.lagged {
        let (from, to) = (missed.last_seen + 1, missed.next.saturating_sub(1));
        let text = format!("events {from} to {to} were missed: they are not kept any more");
        return Tone::Warning.paint(&text, colour);
    }
    let tone = match event.action.as_str() {
        "die" | "oom" | "kill" => Tone::Bad,
        "start" => Tone::Good,
        _ => Tone::Plain,
    };
    let id = match event.id.get(..12) {
        // An id of 64 digits is shortened, a name is not.
        Some(short) if event.id.len() == 64 => short,
        _ => &event.id,
    };
    let attributes: Vec<String> = event
        .attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mut line = format!(
        "{} {} {} {} {}",
        Tone::Dim.paint(&event.sequence.to_string(), colour),
        Tone::Dim.paint(&Timestamp(event.at).rfc3339(), colour),
        printable(&event.subject),
        tone.paint(&printable(&event.action), colour),
        printable(id)
    );
    if !attributes.is_empty() {
        line.push_str(&format!(" ({})", printable(&attributes.join(", "))));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Event, Lagged, show};

    #[test]
    fn one_event_is_one_readable_line() {
        let event = Event {
            sequence: 7,
            at: 1_709_210_096_000_000_000,
            subject: "container".into(),
            action: "die".into(),
            id: "ab".repeat(32),
            attributes: [
                ("exitCode".to_owned(), "3".to_owned()),
                ("name".to_owned(), "a\nb".to_owned()),
            ]
            .into(),
            lagged: None,
        };
        assert_eq!(
            show(&event, false),
            "7 2024-02-29T12:34:56Z container die abababababab (exitCode=3, name=a\u{fffd}b)"
        );
        assert!(show(&event, true).contains("\x1b[31mdie\x1b[0m"));
    }

    #[test]
    fn names_are_not_shortened() {
        let event = Event {
            subject: "volume".into(),
            action: "create".into(),
            id: "a-volume-with-a-long-name".into(),
            ..Default::default()
        };
        assert!(show(&event, false).ends_with("volume create a-volume-with-a-long-name"));
    }

    #[test]
    fn what_was_missed_is_said() {
        let lagged = Some(Lagged {
            last_seen: 4,
            next: 9,
        });
        let event = Event {
            lagged,
            ..Default::default()
        };
        assert_eq!(
            show(&event, false),
            "events 5 to 8 were missed: they are not kept any more"
        );
    }
}
