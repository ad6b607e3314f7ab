//! `gantry plugin list`: what is loaded, from which file.

use serde::Deserialize;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::ps::parse;
use crate::table::Table;

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
}

pub(crate) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let answer = client.get("/v1/plugins").await?;
    if output.json {
        return output.answer(&answer);
    }
    let plugins: Vec<Plugin> = parse(&answer)?;
    output.table(&table(&plugins))
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
    use super::{Plugin, table};

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
}
