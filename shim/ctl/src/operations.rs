//! `gantry ops`: what the daemon is changing now.

use serde::Deserialize;

use crate::age::{ago, now};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::ps::parse;
use crate::table::Table;

/// The fields shown. Times are nanoseconds since 1970.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Operation {
    id: String,
    kind: String,
    object: String,
    since: i64,
    deadline: i64,
}

pub(crate) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let answer = client.get("/v1/operations").await?;
    if output.json {
        return output.answer(&answer);
    }
    let operations: Vec<Operation> = parse(&answer)?;
    output.table(&table(&operations, now()))
}

fn table(operations: &[Operation], now: i64) -> Table {
    let mut table = Table::new(&["ID", "WHAT", "OBJECT", "SINCE", "DEADLINE"]);
    for one in operations {
        let plain = |text: &str| (text.to_owned(), Tone::Plain);
        let deadline = match one.deadline {
            0 => plain("-"),
            late if late < now => (format!("over for {}", ago(late, now)), Tone::Bad),
            // The same units, counted forwards.
            later => plain(&format!("in {}", ago(now, later))),
        };
        table.row([
            plain(one.id.get(..12).unwrap_or(&one.id)),
            plain(&one.kind.replace('_', " ")),
            plain(&one.object),
            plain(&ago(one.since, now)),
            deadline,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Operation, table};

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
}
