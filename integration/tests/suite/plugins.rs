//! Drivers are shared libraries: take one away and its driver is gone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_integration::node::Options;
use gantry_integration::{Node, cases, paths, wait};

#[path = "../../../plugins/fixtures/compile.rs"]
pub(super) mod compile;

cases![
    list_says_what_is_loaded,
    take_one_away,
    native_instead_of_overlay,
    nothing_is_linked_in,
    a_panic_in_a_plugin_is_contained,
    a_start_that_goes_nowhere_is_cancelled
];

fn folder_without(node_dir: &Path, missing: &str) -> Result<()> {
    std::fs::create_dir(node_dir)?;
    for entry in std::fs::read_dir(paths::build().join("plugins"))? {
        let entry = entry?;
        if entry.file_name() != missing {
            std::fs::copy(entry.path(), node_dir.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn list_says_what_is_loaded() -> Result<()> {
    let node = Node::start()?;
    let list = node.gantry(&["plugin", "list"])?.ok()?;
    for name in ["overlay", "native", "bridge", "host", "none", "local"] {
        ensure!(list.contains(name), "{name} in {list}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&node.gantry(&["plugin", "list", "--json"])?.ok()?)?;
    ensure!(
        json.to_string()
            .contains(&node.root().join("plugins").display().to_string()),
        "the copies that are mapped: {json}"
    );
    // They are mapped by the daemon, under the digest of what they are.
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", node.pid()))?;
    let folder = node.root().join("plugins");
    let mapped = std::fs::read_dir(&folder)?
        .flatten()
        .filter(|e| maps.contains(&e.path().display().to_string()))
        .count();
    ensure!(mapped >= 6, "{mapped} mapped libraries");
    node.finish()
}

fn take_one_away() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let plugins = scratch.path().join("plugins");
    folder_without(&plugins, "libgantry_network_none.so")?;
    let node = Node::start_with(Options {
        plugins: Some(plugins),
        ..Options::default()
    })?;
    node.load_busybox()?;
    let docker = node.docker();
    ensure!(docker.ok(&["run", "--rm", "busybox", "echo", "hi"])? == "hi");
    let ran = docker.run(&["run", "--rm", "--network", "none", "busybox", "true"])?;
    ensure!(ran.code == 125 && ran.err.contains("none"), "{ran:?}");
    let list = node.gantry(&["plugin", "list", "--json"])?.ok()?;
    ensure!(
        !list.contains("network_none") && list.contains("bridge"),
        "{list}"
    );
    node.finish()
}

fn native_instead_of_overlay() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let plugins = scratch.path().join("plugins");
    folder_without(&plugins, "libgantry_snapshot_overlay.so")?;
    let config = "snapshotter = \"native\"\n".to_owned();
    let node = Node::start_with(Options {
        plugins: Some(plugins),
        config,
        ..Options::default()
    })?;
    node.load_busybox()?;
    let docker = node.docker();
    ensure!(docker.ok(&["info", "--format", "{{.Driver}}"])? == "native");
    ensure!(
        docker
            .ok(&[
                "run",
                "--name",
                "nn",
                "busybox",
                "sh",
                "-c",
                "echo x > /f; cat /f; grep -c overlay /proc/mounts; true"
            ])?
            .starts_with("x\n0")
    );
    node.finish()
}

fn nothing_is_linked_in() -> Result<()> {
    // With an empty folder the daemon has no driver of any kind, or says that it cannot serve without.
    let scratch = tempfile::tempdir()?;
    let plugins = scratch.path().join("plugins");
    std::fs::create_dir(&plugins)?;
    let mut node = Node::prepare(Options {
        plugins: Some(plugins),
        ..Options::default()
    })?;
    if node.restart().is_ok() {
        let list: serde_json::Value =
            serde_json::from_str(&node.gantry(&["plugin", "list", "--json"])?.ok()?)?;
        ensure!(list.as_array().is_some_and(Vec::is_empty), "{list}");
    } else {
        ensure!(node.log().contains("overlay"), "{}", node.log());
    }
    Ok(())
}

/// The build that is shipped must unwind: a panic then costs the plugin, not the daemon.
fn a_panic_in_a_plugin_is_contained() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let plugins = scratch.path().join("plugins");
    folder_without(&plugins, "")?;
    let fixture = "libgantry_fixtures.so";
    std::fs::copy(
        paths::build().join("tools").join(fixture),
        plugins.join(fixture),
    )
    .context("the plugin that panics: hack/build --tools")?;
    let node = Node::start_with(Options {
        plugins: Some(plugins),
        ..Options::default()
    })?;
    let docker = node.docker();
    let pid = node.pid();
    docker.ok(&["volume", "create", "--driver", "panics", "fine"])?;
    let panicked = docker.run(&["volume", "create", "--driver", "panics", "panic"])?;
    ensure!(
        panicked.code == 1 && panicked.err.contains("asked to panic"),
        "{panicked:?}"
    );
    let refused = docker.run(&["volume", "create", "--driver", "panics", "later"])?;
    ensure!(refused.code == 1, "{refused:?}");
    let list = node.gantry(&["plugin", "list", "--json"])?.ok()?;
    ensure!(list.contains("poisoned"), "{list}");
    docker.ok(&["volume", "create", "other"])?;
    docker.ok(&["volume", "rm", "other"])?;
    ensure!(node.runs() && node.pid() == pid, "{}", node.log());
    Ok(())
}

/// Who removes a container by force does not wait for a start that goes nowhere: its driver is told to stop.
fn a_start_that_goes_nowhere_is_cancelled() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let plugins = scratch.path().join("plugins");
    folder_without(&plugins, "")?;
    compile::fixture(&plugins, "slow.so", &["SLOW_MOUNT"]);
    let node = Node::start_with(Options {
        plugins: Some(plugins),
        ..Options::default()
    })?;
    node.load_busybox()?;
    let docker = node.docker();
    let mount = "type=volume,src=slow,dst=/d,volume-driver=fixture";
    docker.ok(&[
        "create", "--name", "stuck", "--mount", mount, "busybox", "true",
    ])?;
    let start = docker.live(&["start", "stuck"])?;
    let operations = || node.gantry(&["ops", "--json"]).and_then(|ran| ran.ok());
    let starting = || operations().is_ok_and(|list| list.contains("start_container"));
    wait::until(
        "the start to be in progress",
        Duration::from_secs(20),
        starting,
    )?;
    docker.ok(&["rm", "-f", "stuck"])?;
    let started = start.end()?;
    ensure!(
        started.code == 1 && started.err.contains("marked for removal"),
        "{started:?}"
    );
    ensure!(operations()?.trim() == "[]", "{}", operations()?);
    node.finish()
}
