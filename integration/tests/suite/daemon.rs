//! The daemon itself: flags, config, locks, signals.

use anyhow::{Result, ensure};
use gantry_integration::{Node, cases};

cases![starts_and_stops];

fn starts_and_stops() -> Result<()> {
    let node = Node::start()?;
    ensure!(
        node.api("GET", "/_ping", b"")?.status == 200,
        "ping is answered"
    );
    node.finish()
}
