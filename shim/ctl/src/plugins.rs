//! `gantry plugin list`: what is loaded, from which file, and under the table what needs a look: calls that have not
//! returned, answers that came late, quarantines.

use bytes::Bytes;
use serde::Deserialize;

use crate::age::{ago, now};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::ps::parse;
use crate::table::{Table, printable};

/// The fields shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Plugin {
    kind: String,
    name: String,
    version: String,
    interface: String,
    capabilities: Vec<String>,
    file: String,
    isolation: String,
    status: String,
    reason: String,
    in_flight: Vec<Call>,
    late_answers: u64,
    last_late: String,
    quarantined_since: i64,
}

/// A call that has not returned. Times are nanoseconds since 1970.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Call {
    function: String,
    objects: Vec<String>,
    operation: String,
    since: i64,
    late: bool,
}

pub(crate) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let answer = client.get("/v1/plugins").await?;
    if output.json {
        return output.answer(&answer);
    }
    let plugins: Vec<Plugin> = parse(&answer)?;
    output.table(&table(&plugins))?;
    for note in plugins.iter().flat_map(|plugin| notes(plugin, now())) {
        output.line(&printable(&note))?;
    }
    Ok(())
}

pub(crate) async fn release(
    client: &Client,
    output: &Output,
    (kind, name): &(String, String),
) -> Result<(), Failure> {
    let path = format!("/v1/plugins/{kind}/{name}/release");
    let answer = client.post(&path, Bytes::new()).await?;
    if output.json {
        return output.answer(&answer);
    }
    let plugin: Plugin = parse(&answer)?;
    output.line(&printable(&match plugin.status.as_str() {
        "active" => format!("{kind}/{name} serves again"),
        _ => format!("{kind}/{name}: {}", plugin.reason),
    }))
}

/// What needs a look, one line each.
fn notes(plugin: &Plugin, now: i64) -> Vec<String> {
    let label = format!("{}/{}", plugin.kind, plugin.name);
    let mut notes: Vec<String> = Vec::new();
    for call in &plugin.in_flight {
        let object = match call.objects.first() {
            Some(object) => format!(" of {object}"),
            None => String::new(),
        };
        let operation = call.operation.get(..12).unwrap_or(&call.operation);
        let age = ago(call.since, now);
        let late = match (call.late, call.objects.is_empty()) {
            (false, _) => "",
            (true, true) => "; it is past its deadline",
            (true, false) => {
                "; it is past its deadline, its outcome unknown and its object locked until it returns"
            }
        };
        notes.push(format!(
            "{label}: {}{object} has not returned since {age} (operation {operation}){late}",
            call.function
        ));
    }
    if plugin.late_answers > 0 {
        let calls = match plugin.late_answers {
            1 => "1 call has".to_owned(),
            many => format!("{many} calls have"),
        };
        notes.push(format!(
            "{label}: {calls} returned after the deadline; the last: {}",
            plugin.last_late
        ));
    }
    if plugin.status == "quarantined" {
        let since = ago(plugin.quarantined_since, now);
        notes.push(format!(
            "{label}: in quarantine since {since}, {}; `gantry plugin release {label}` lifts it",
            plugin.reason
        ));
    }
    notes
}

fn table(plugins: &[Plugin]) -> Table {
    let mut table = Table::new(&[
        "KIND",
        "NAME",
        "VERSION",
        "INTERFACE",
        "STATUS",
        "RUNS",
        "CAPABILITIES",
        "FILE",
    ]);
    for plugin in plugins {
        let plain = |text: &str| (text.to_owned(), Tone::Plain);
        let status = match (plugin.status.as_str(), plugin.reason.as_str()) {
            ("active", _) => ("active".to_owned(), Tone::Good),
            (status, "") => (status.to_owned(), Tone::Bad),
            (status, reason) => (format!("{status} ({reason})"), Tone::Bad),
        };
        let capabilities = if plugin.capabilities.is_empty() {
            "-".to_owned()
        } else {
            plugin.capabilities.join(",")
        };
        table.row([
            plain(&plugin.kind),
            plain(&plugin.name),
            plain(&plugin.version),
            plain(&plugin.interface),
            status,
            plain(&plugin.isolation),
            plain(&capabilities),
            plain(&plugin.file),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Call, Plugin, notes, table};

    #[test]
    fn a_plugin_that_does_not_serve_says_why() {
        let plugins = [
            Plugin {
                kind: "network".into(),
                name: "bridge".into(),
                status: "active".into(),
                capabilities: vec!["ports".into(), "dns".into()],
                file: "/usr/lib/gantry/plugins/libgantry_network_bridge.so".into(),
                ..Default::default()
            },
            Plugin {
                name: "odd".into(),
                status: "failed".into(),
                reason: "major 9".into(),
                ..Default::default()
            },
        ];
        let text = table(&plugins).render(false);
        assert!(text.contains("ports,dns"), "{text}");
        assert!(text.contains("libgantry_network_bridge.so"), "{text}");
        assert!(text.contains("failed (major 9)"), "{text}");
    }

    #[test]
    fn calls_late_answers_and_quarantines_are_told_in_words() {
        let second = 1_000_000_000;
        let call = Call {
            function: "prepare".into(),
            objects: vec!["x".into()],
            operation: "ab".repeat(32),
            since: 988 * second,
            late: true,
        };
        let hangs = Plugin {
            kind: "snapshotter".into(),
            name: "overlay".into(),
            status: "active".into(),
            in_flight: vec![call],
            late_answers: 2,
            last_late: "remove of y was done after 70.0 s".into(),
            ..Default::default()
        };
        let lines = notes(&hangs, 1000 * second);
        assert_eq!(
            lines[0],
            "snapshotter/overlay: prepare of x has not returned since 12s (operation abababababab); it is past its \
             deadline, its outcome unknown and its object locked until it returns"
        );
        assert!(
            lines[1].contains("2 calls have returned after the deadline; the last: remove of y")
        );
        let crashed = Plugin {
            kind: "volume".into(),
            name: "v".into(),
            status: "quarantined".into(),
            reason: "crashed 2 times".into(),
            quarantined_since: 940 * second,
            ..Default::default()
        };
        assert_eq!(
            notes(&crashed, 1000 * second),
            [
                "volume/v: in quarantine since 60s, crashed 2 times; `gantry plugin release volume/v` lifts it"
            ]
        );
    }
}
