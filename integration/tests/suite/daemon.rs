//! The daemon itself: flags, config, locks, sockets, signals.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use gantry_integration::node::Options;
use gantry_integration::{Node, cases};

cases![
    starts_and_stops,
    two_live_side_by_side,
    a_root_has_one_daemon,
    the_config_is_checked,
    sockets_have_their_modes
];

fn starts_and_stops() -> Result<()> {
    let node = Node::start()?;
    ensure!(
        node.api("GET", "/_ping", b"")?.status == 200,
        "ping is answered"
    );
    node.finish()
}

fn two_live_side_by_side() -> Result<()> {
    let (one, two) = (Node::start()?, Node::start()?);
    for node in [&one, &two] {
        node.load_busybox()?;
        node.docker().ok(&[
            "run", "-d", "--name", "same", "-p", "8080:80", "busybox", "httpd", "-f",
        ])?;
    }
    one.docker().ok(&["rm", "-f", "same"])?;
    ensure!(two.docker().ok(&["ps", "--format", "{{.Names}}"])? == "same");
    one.finish()?;
    two.finish()
}

fn a_root_has_one_daemon() -> Result<()> {
    let node = Node::start()?;
    let mut command = node.daemon_command()?;
    let out = node.net.run(move || command.output())?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    ensure!(
        !out.status.success(),
        "a second daemon on the same root must not start"
    );
    ensure!(
        said.contains(&node.root().display().to_string())
            || said.contains(&node.run().display().to_string()),
        "{said}"
    );
    ensure!(
        node.api("GET", "/_ping", b"")?.status == 200,
        "the first one is unharmed"
    );
    node.finish()
}

fn the_config_is_checked() -> Result<()> {
    let node = Node::prepare(Options {
        config: "instanze = \"x\"\n".into(),
        ..Options::default()
    })?;
    let mut command = node.daemon_command()?;
    let out = node.net.run(move || command.output())?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(
        !out.status.success() && said.contains("instanze") && said.contains("instance"),
        "{said}"
    );
    let mut command = std::process::Command::new(gantry_integration::paths::program("gantryd")?);
    let out = command.args(["config", "default"]).output()?;
    let default = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(
        out.status.success() && default.contains("instance"),
        "{default}"
    );
    // What it prints is a config it takes.
    let node = Node::prepare(Options::default())?;
    std::fs::write(
        node.config(),
        default.replace("\"gantry\"", &format!("\"{}\"", node.instance)),
    )?;
    let mut node = node;
    node.restart()?;
    node.finish()
}

fn sockets_have_their_modes() -> Result<()> {
    let node = Node::start()?;
    for (door, mode) in [("docker", 0o660), ("cri", 0o660), ("gantry", 0o600)] {
        let found = std::fs::metadata(node.socket(door))?.permissions().mode() & 0o777;
        ensure!(found == mode, "{door}.sock has mode {found:o}");
    }
    node.finish()
}
