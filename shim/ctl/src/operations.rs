//! `gantry ops`: what the daemon is changing now, what each change waits for, and its cancel.

use bytes::Bytes;
use serde::Deserialize;

use crate::age::{ago, now};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::ps::parse;
use crate::table::{Table, printable};

/// The fields shown. Times are nanoseconds since 1970.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Operation {
    id: String,
    kind: String,
    object: String,
    since: i64,
    deadline: i64,
    waits_for: String,
    waits_since: i64,
    cancelled: bool,
    stuck: bool,
}

pub(crate) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let answer = client.get("/v1/operations").await?;
    if output.json {
        return output.answer(&answer);
    }
    let operations: Vec<Operation> = parse(&answer)?;
    output.table(&table(&operations, now()))
}

pub(crate) async fn cancel(client: &Client, output: &Output, id: &str) -> Result<(), Failure> {
    let path = format!("/v1/operations/{id}/cancel");
    let answer = client.post(&path, Bytes::new()).await?;
    if output.json {
        return output.answer(&answer);
    }
    let operation: Operation = parse(&answer)?;
    output.line(&told(&operation))
}

fn told(operation: &Operation) -> String {
    let (id, what) = (short(&operation.id), operation.kind.replace('_', " "));
    let mut told = format!(
        "told operation {id} ({what} {}) to stop",
        short(&operation.object)
    );
    if !operation.waits_for.is_empty() {
        told.push_str(&format!("; it waits for {}", operation.waits_for));
    }
    printable(&told)
}

/// An id of 64 digits is shortened, a name is not.
fn short(text: &str) -> &str {
    match text.get(..12) {
        Some(short) if text.len() == 64 => short,
        _ => text,
    }
}

fn table(operations: &[Operation], now: i64) -> Table {
    let mut table = Table::new(&[
        "ID",
        "WHAT",
        "OBJECT",
        "SINCE",
        "DEADLINE",
        "STATE",
        "WAITS FOR",
    ]);
    for one in operations {
        let plain = |text: &str| (text.to_owned(), Tone::Plain);
        let deadline = match one.deadline {
            0 => plain("-"),
            late if late < now => (format!("over for {}", ago(late, now)), Tone::Bad),
            // The same units, counted forwards.
            later => plain(&format!("in {}", ago(now, later))),
        };
        let state = match (one.stuck, one.cancelled) {
            (true, _) => ("stuck".to_owned(), Tone::Bad),
            (false, true) => ("cancelled".to_owned(), Tone::Warning),
            (false, false) => ("works".to_owned(), Tone::Good),
        };
        let waits = match one.waits_for.as_str() {
            "" => plain("-"),
            what => plain(&format!("{what}, since {}", ago(one.waits_since, now))),
        };
        table.row([
            plain(one.id.get(..12).unwrap_or(&one.id)),
            plain(&one.kind.replace('_', " ")),
            plain(short(&one.object)),
            plain(&ago(one.since, now)),
            deadline,
            state,
            waits,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Operation, table, told};

    #[test]
    fn a_deadline_that_is_over_is_seen() {
        let second = 1_000_000_000;
        let now = 1000 * second;
        let with = |deadline| Operation {
            kind: "start_container".into(),
            since: 990 * second,
            deadline,
            ..Default::default()
        };
        let text = table(&[with(0), with(1010 * second), with(995 * second)], now).render(false);
        for part in ["start container", "10s", "in 10s", "over for 5s"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_it_waits_for_and_how_it_is_are_seen() {
        let second = 1_000_000_000;
        let one = Operation {
            id: "ab".repeat(32),
            kind: "create_volume".into(),
            object: "data".into(),
            since: 990 * second,
            waits_for: "volume driver local: create".into(),
            waits_since: 995 * second,
            cancelled: true,
            ..Default::default()
        };
        let text = table(std::slice::from_ref(&one), 1000 * second).render(false);
        for part in [
            "abababababab ",
            "cancelled",
            "volume driver local: create, since 5s",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(
            told(&one),
            "told operation abababababab (create volume data) to stop; it waits for volume driver local: create"
        );
        let stuck = Operation { stuck: true, ..one };
        assert!(table(&[stuck], 0).render(false).contains("stuck"));
    }
}
