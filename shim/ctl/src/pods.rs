//! `gantry pods`: the pods.

use serde::Deserialize;

use crate::age::{ago, now};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::ps::parse;
use crate::table::Table;

/// The fields shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    id: String,
    name: String,
    namespace: String,
    state: String,
    reason: String,
    addresses: Vec<String>,
    created_at: i64,
}

pub(crate) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let answer = client.get("/v1/sandboxes").await?;
    if output.json {
        return output.answer(&answer);
    }
    let pods: Vec<Pod> = parse(&answer)?;
    output.table(&table(&pods, now()))
}

fn table(pods: &[Pod], now: i64) -> Table {
    let mut table = Table::new(&["ID", "NAMESPACE", "NAME", "STATE", "ADDRESSES", "CREATED"]);
    for pod in pods {
        let plain = |text: &str| (text.to_owned(), Tone::Plain);
        let state = match (pod.state.as_str(), pod.reason.as_str()) {
            ("running", _) => ("ready".to_owned(), Tone::Good),
            (state, "") => (format!("not ready ({state})"), Tone::Warning),
            (_, reason) => (format!("not ready ({reason})"), Tone::Bad),
        };
        table.row([
            plain(pod.id.get(..12).unwrap_or(&pod.id)),
            plain(&pod.namespace),
            plain(&pod.name),
            state,
            plain(&pod.addresses.join(",")),
            plain(&ago(pod.created_at, now)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Pod, table};

    #[test]
    fn says_why_one_is_not_ready() {
        let pods = [
            Pod {
                id: "a".repeat(64),
                name: "web".into(),
                namespace: "default".into(),
                state: "running".into(),
                addresses: vec!["10.0.0.2".into()],
                ..Default::default()
            },
            Pod {
                state: "exited".into(),
                reason: "its supervisor died".into(),
                ..Default::default()
            },
        ];
        let text = table(&pods, 0).render(false);
        assert!(text.contains("default    web   ready"), "{text}");
        assert!(text.contains("not ready (its supervisor died)"), "{text}");
    }
}
