//! `gantry version`: of this tool and of the daemon.

use serde::Deserialize;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::ps::parse;
use crate::table::printable;

/// The fields shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version {
    version: String,
    instance: String,
    pid: u32,
}

pub(crate) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let own = env!("CARGO_PKG_VERSION");
    if !output.json {
        // Said first: it is known even when the daemon cannot be reached.
        output.line(&format!("gantry   {own}"))?;
    }
    let answer = client.get("/v1/version").await?;
    if output.json {
        return output.answer(&answer);
    }
    let daemon: Version = parse(&answer)?;
    output.line(&format!(
        "gantryd  {} (instance {}, pid {})",
        printable(&daemon.version),
        printable(&daemon.instance),
        daemon.pid
    ))
}
