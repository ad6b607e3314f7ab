//! `gantry ps`: the containers of both doors.

use serde::Deserialize;

use crate::age::{ago, now};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::table::Table;

/// The fields shown; a daemon of another version may have more or fewer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    id: String,
    name: String,
    door: String,
    image: String,
    state: String,
    created_at: i64,
    started_at: i64,
    finished_at: i64,
    exit_code: Option<i32>,
    oom: bool,
    pod_name: String,
}

pub(crate) async fn run(client: &Client, output: &Output, all: bool) -> Result<(), Failure> {
    let answer = client.get("/v1/containers").await?;
    if output.json {
        return output.answer(&answer);
    }
    let containers: Vec<Container> = parse(&answer)?;
    output.table(&table(&containers, all, now()))
}

/// Reads a list.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer)
        .map_err(|e| Failure::Failed(format!("read gantryd's answer: {e}")))
}

fn table(containers: &[Container], all: bool, now: i64) -> Table {
    let mut table = Table::new(&["ID", "NAME", "DOOR", "POD", "IMAGE", "STATE", "CREATED"]);
    let shown = containers
        .iter()
        .filter(|one| all || matches!(one.state.as_str(), "running" | "paused" | "unknown"));
    for one in shown {
        let plain = |text: &str| (text.to_owned(), Tone::Plain);
        table.row([
            plain(one.id.get(..12).unwrap_or(&one.id)),
            plain(&one.name),
            plain(&one.door),
            plain(&one.pod_name),
            plain(&one.image),
            state(one, now),
            plain(&ago(one.created_at, now)),
        ]);
    }
    table
}

fn state(one: &Container, now: i64) -> (String, Tone) {
    match (one.state.as_str(), one.exit_code) {
        ("running", _) => (format!("running {}", ago(one.started_at, now)), Tone::Good),
        ("exited", Some(code)) => {
            let why = if one.oom { ", out of memory" } else { "" };
            let text = format!("exited ({code}{why}) {} ago", ago(one.finished_at, now));
            (text, if code == 0 { Tone::Plain } else { Tone::Bad })
        }
        ("paused" | "unknown", _) => (one.state.clone(), Tone::Warning),
        _ => (one.state.clone(), Tone::Plain),
    }
}

#[cfg(test)]
mod tests {
    use super::{Container, parse, table};

    const NOW: i64 = 1_000_000_000_000;

    fn containers() -> Vec<Container> {
        parse(
            br#"[{"id":"aaaaaaaaaaaabbbb","name":"web","door":"docker","image":"busybox","state":"running",
                  "created_at":995000000000,"started_at":990000000000,"colour":"unknown to us"},
                 {"id":"cc","name":"job","door":"cri","pod_name":"p","image":"sha256:1","state":"exited",
                  "created_at":1,"finished_at":999000000000,"exit_code":137,"oom":true}]"#,
        )
        .unwrap()
    }

    #[test]
    fn shows_what_runs() {
        assert_eq!(
            table(&containers(), false, NOW).render(false),
            "ID            NAME  DOOR    POD  IMAGE    STATE        CREATED\n\
             aaaaaaaaaaaa  web   docker       busybox  running 10s  5s\n"
        );
    }

    #[test]
    fn shows_ends_with_their_reason() {
        let text = table(&containers(), true, NOW).render(false);
        assert!(
            text.contains("exited (137, out of memory) 1s ago"),
            "{text}"
        );
    }
}
