//! Plugins that crash or hang before the doors open, and processes of plugins that are replaced: what has crashed twice
//! is put away before anything of it runs, the doors open without it, and it serves again when an operator says so.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1;
use gantry_integration::docker::Ran;
use gantry_integration::{Node, cases, wait};

use super::plugin_faults::bad::{Bad, WELL, of_kind};

cases![
    a_crash_at_every_start_ends_in_quarantine_and_open_doors,
    a_crash_at_every_start_in_a_runner_ends_in_quarantine,
    a_hang_while_it_is_opened_keeps_no_door_shut,
    a_hang_in_reconcile_keeps_networks_shut_and_nothing_else,
    a_reconcile_that_failed_is_done_before_the_next_join,
    a_runner_that_is_replaced_knows_what_there_is,
    nobody_waits_for_a_driver_that_panicked,
];

/// Calls that every start makes; the last one behind open doors.
const AT_START: [(&str, &str); 4] = [
    ("network", "reconcile"),
    ("network", "open"),
    ("volume", "open"),
    ("snapshotter", "cleanup"),
];

fn plugin(bad: &Bad, kind: &str, name: &str) -> Result<serde_json::Value> {
    let list = bad.node.gantry(&["plugin", "list", "--json"])?.ok()?;
    let list: serde_json::Value = serde_json::from_str(&list)?;
    let mut all = list.as_array().context("a list")?.iter();
    let one = all.find(|one| one["kind"] == kind && one["name"] == name);
    one.cloned()
        .with_context(|| format!("no {kind}/{name} in {list}"))
}

fn name_of(kind: &str) -> &'static str {
    match kind {
        "network" => "bridge",
        "volume" => "local",
        _ => "overlay",
    }
}

/// A container with a volume on a network of its own, running.
fn running(bad: &Bad) -> Result<()> {
    for (step, ran) in bad.live_until("start")? {
        ran.ok().with_context(|| step.to_owned())?;
    }
    Ok(())
}

/// Starts the daemon until it has ended by itself so often; it may serve for a moment.
fn ends_by_itself(node: &mut Node, times: usize) -> Result<()> {
    for _ in 0..times {
        node.launch(&[])?;
        let mut status = None;
        wait::until("gantryd to end", Duration::from_secs(20), || {
            status = node.ended();
            status.is_some()
        })?;
        let status = status.context("it has ended")?;
        ensure!(!status.success(), "{status}");
    }
    Ok(())
}

/// What a plugin put away says, through every door of it.
fn told_of_quarantine(bad: &Bad, kind: &str, function: &str) -> Result<()> {
    let name = name_of(kind);
    let list = bad.node.gantry(&["plugin", "list"])?.ok()?;
    let call = match function {
        "open" => "open".to_owned(),
        other => format!("{other} "),
    };
    for part in [
        format!("{kind}/{name}: in quarantine since"),
        "crashed 2 times within 10 minutes".to_owned(),
        format!("the last time in {call}"),
        format!("`gantry plugin release {kind}/{name}` lifts it"),
    ] {
        ensure!(list.contains(&part), "{part:?} in\n{list}");
    }
    // What runs is shown and goes on; what needs the plugin says why it does not go.
    let docker = bad.node.docker();
    ensure!(docker.ok(&["ps", "--format", "{{.Names}}"])? == "con");
    docker.ok(&["exec", "con", "true"])?;
    let asked = match kind {
        "network" => docker.run(&["network", "create", "second"])?,
        "volume" => docker.run(&["volume", "create", "second"])?,
        _ => docker.run(&["create", "busybox", "true"])?,
    };
    for part in ["is in quarantine", "crashed 2 times", name] {
        ensure!(
            asked.code != 0 && asked.err.contains(part),
            "{part:?} in {asked:?}"
        );
    }
    if kind == "network" {
        // Nothing was begun, so nothing has to be taken back: the client does not wait for it.
        let ran = docker.run(&["run", "--rm", "--network", "n", "busybox", "true"])?;
        ensure!(
            ran.code == 125 && ran.err.contains("is in quarantine"),
            "{ran:?}"
        );
        let (ready, why) = network_ready(bad)?;
        ensure!(!ready && why.contains("crashed 2 times"), "{ready} {why}");
    }
    Ok(())
}

/// What a kubelet is told of the network for pods.
fn network_ready(bad: &Bad) -> Result<(bool, String)> {
    let cri = bad.node.cri()?;
    let asked = v1::StatusRequest { verbose: false };
    let status = cri.wait(cri.runtime().status(asked))?.status;
    let all = status.context("a status")?.conditions;
    let mut all = all.into_iter();
    let one = all.find(|one| one.r#type == "NetworkReady");
    let one = one.context("NetworkReady")?;
    Ok((one.status, one.message))
}

fn released(bad: &Bad, kind: &str) -> Result<()> {
    let name = name_of(kind);
    let label = format!("{kind}/{name}");
    let told = bad.node.gantry(&["plugin", "release", &label])?.ok()?;
    ensure!(told == format!("{label} serves again"), "{told}");
    ensure!(plugin(bad, kind, name)?["status"] == "active");
    ensure!(network_ready(bad)?.0);
    let again = bad.node.gantry(&["plugin", "release", &label])?;
    ensure!(
        again.code == 1 && again.err.contains("not in quarantine"),
        "{again:?}"
    );
    // It knows what there was: a neighbour gets another address, and both find each other.
    let docker = bad.node.docker();
    let pong = [
        "run",
        "--rm",
        "--network",
        "n",
        "-v",
        "vol:/d",
        "busybox",
        "ping",
        "-c1",
        "-W2",
    ];
    let there = address(bad, "con")?;
    let run = |args: &[&str]| docker.run(args).and_then(Ran::ok);
    let mut said = String::new();
    wait::until("a neighbour to reach it", WELL, || {
        let ran = run(&[&pong[..], &[there.as_str()]].concat());
        said = ran.as_ref().map_or_else(|e| format!("{e:#}"), Clone::clone);
        ran.is_ok()
    })
    .with_context(|| said.clone())
}

fn address(bad: &Bad, container: &str) -> Result<String> {
    let wanted = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = bad
        .node
        .docker()
        .ok(&["inspect", "-f", wanted, container])?;
    ensure!(!address.is_empty(), "{container} has no address");
    Ok(address)
}

fn a_crash_at_every_start_ends_in_quarantine_and_open_doors() -> Result<()> {
    for (kind, function) in AT_START {
        crash_at_start(kind, function).with_context(|| format!("{kind} {function}"))?;
    }
    Ok(())
}

fn crash_at_start(kind: &str, function: &str) -> Result<()> {
    let mut bad = Bad::start("")?;
    running(&bad)?;
    let volume_made = bad.node.docker().ok(&["volume", "ls", "-q"])?;
    bad.node.stop()?;
    bad.rule(kind, &format!("{function} segv before 0 0\n"))?;
    ends_by_itself(&mut bad.node, 2)?;
    // The third leaves it out, and what crashed is never called.
    let hits = of_kind(&bad.rules, kind, ".hit");
    let before = std::fs::read_to_string(&hits)?;
    bad.node.restart()?;
    ensure!(std::fs::read_to_string(&hits)? == before, "it was called");
    told_of_quarantine(&bad, kind, function)?;
    ensure!(bad.node.docker().ok(&["volume", "ls", "-q"])? == volume_made);
    // So does the next one: a restart forgets nothing.
    bad.node.stop()?;
    bad.node.restart()?;
    told_of_quarantine(&bad, kind, function)?;
    bad.well()?;
    released(&bad, kind)?;
    bad.put_right()?;
    bad.node.finish()
}

fn a_crash_at_every_start_in_a_runner_ends_in_quarantine() -> Result<()> {
    for (kind, function) in [("network", "reconcile"), ("network", "open")] {
        crash_in_runner(kind, function).with_context(|| format!("{kind} {function}"))?;
    }
    Ok(())
}

/// The daemon never dies of it, and each start counts one crash.
fn crash_in_runner(kind: &str, function: &str) -> Result<()> {
    let mut bad = Bad::start("isolate = [\"bridge\"]\n")?;
    running(&bad)?;
    bad.node.stop()?;
    bad.rule(kind, &format!("{function} segv before 0 0\n"))?;
    bad.node.restart()?;
    let docker = bad.node.docker();
    ensure!(docker.ok(&["ps", "--format", "{{.Names}}"])? == "con");
    if function == "open" {
        let one = plugin(&bad, kind, name_of(kind))?;
        ensure!(
            one["status"] == "failed" && one["reason"].to_string().contains("SIGSEGV"),
            "{one}"
        );
    }
    bad.node.stop()?;
    bad.node.restart()?;
    told_of_quarantine(&bad, kind, function)?;
    bad.node.stop()?;
    bad.node.restart()?;
    told_of_quarantine(&bad, kind, function)?;
    bad.well()?;
    released(&bad, kind)?;
    bad.put_right()?;
    bad.node.finish()
}

fn a_hang_while_it_is_opened_keeps_no_door_shut() -> Result<()> {
    let mut bad = Bad::start("")?;
    running(&bad)?;
    bad.node.stop()?;
    bad.rule("volume", "open hang before 0 0\n")?;
    // It is given 15 s to open.
    bad.node.launch(&[])?;
    bad.node.gantry(&["wait", "--timeout", "60s"])?.ok()?;
    let docker = bad.node.docker();
    let list = bad.node.gantry(&["plugin", "list"])?.ok()?;
    ensure!(list.contains("it did not open within 15 s"), "{list}");
    docker.ok(&["exec", "con", "true"])?;
    docker.ok(&["run", "--rm", "busybox", "true"])?;
    let asked = docker.run(&["volume", "create", "second"])?;
    ensure!(
        asked.code == 1
            && asked
                .err
                .contains("volume plugin \"local\" could not be loaded"),
        "{asked:?}"
    );
    bad.well()?;
    bad.node.stop()?;
    bad.node.restart()?;
    bad.put_right()?;
    bad.node.finish()
}

/// A driver that does not know what there is would hand out addresses in use.
fn a_hang_in_reconcile_keeps_networks_shut_and_nothing_else() -> Result<()> {
    let mut bad = Bad::start("")?;
    running(&bad)?;
    bad.node.stop()?;
    bad.rule("network", "reconcile hang before 0 1\n")?;
    let asked = Instant::now();
    bad.node.restart()?;
    ensure!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
    let docker = bad.node.docker();
    docker.ok(&["run", "--rm", "--network", "none", "busybox", "true"])?;
    docker.ok(&["exec", "con", "true"])?;
    let refused = docker.run(&["run", "--rm", "--network", "n", "busybox", "true"])?;
    for part in ["what there is", "reconcile of /reconcile has not returned"] {
        ensure!(
            refused.code == 125 && refused.err.contains(part),
            "{part:?} in {refused:?}"
        );
    }
    bad.well()?;
    neighbour(&bad)?;
    bad.put_right()?;
    bad.node.finish()
}

/// One on the same network that has its own address and reaches the first.
fn neighbour(bad: &Bad) -> Result<()> {
    let docker = bad.node.docker();
    let mut said = String::new();
    wait::until("a neighbour to start", WELL, || {
        let ran = docker.run(&[
            "run",
            "-d",
            "--name",
            "two",
            "--network",
            "n",
            "busybox",
            "sleep",
            "1000",
        ]);
        let ran = ran.and_then(Ran::ok);
        said = ran.as_ref().map_or_else(|e| format!("{e:#}"), Clone::clone);
        if ran.is_err() {
            let _ = docker.run(&["rm", "-f", "two"]);
        }
        ran.is_ok()
    })
    .with_context(|| said.clone())?;
    let (first, second) = (address(bad, "con")?, address(bad, "two")?);
    ensure!(first != second, "both have {first}");
    docker.ok(&["exec", "two", "ping", "-c1", "-W2", &first])?;
    docker.ok(&["exec", "con", "ping", "-c1", "-W2", &second])?;
    docker.ok(&["rm", "-f", "two"])?;
    Ok(())
}

fn a_reconcile_that_failed_is_done_before_the_next_join() -> Result<()> {
    let mut bad = Bad::start("")?;
    running(&bad)?;
    for action in ["error before", "unknown before", "unknown after"] {
        bad.node.stop()?;
        bad.rule("network", &format!("reconcile {action} 0 1\n"))?;
        bad.node.restart()?;
        ensure!(bad.was_hit("network"), "{action}: reconcile was not called");
        neighbour(&bad).with_context(|| action.to_owned())?;
    }
    bad.put_right()?;
    bad.node.finish()
}

fn a_runner_that_is_replaced_knows_what_there_is() -> Result<()> {
    let bad = Bad::start("isolate = [\"bridge\"]\n")?;
    running(&bad)?;
    let docker = bad.node.docker();
    let port = docker.ok(&["port", "con", "80"])?;
    let table = || {
        let rules = bad.node.net.tool("nft", &["list", "ruleset"])?;
        // Counters and handles apart.
        Ok::<_, anyhow::Error>(rules)
    };
    let rules = table()?;
    let bridges = bad.node.net.ip(&["-o", "link", "show", "type", "bridge"])?;
    let name = bridges
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .next_back()
        .context("a bridge")?
        .to_owned();
    kill_runner(&bad)?;
    // Meanwhile somebody breaks what it had made.
    bad.node.net.ip(&["link", "set", &name, "down"])?;
    bad.node.net.tool("nft", &["flush", "ruleset"])?;
    neighbour(&bad)?;
    ensure!(docker.ok(&["port", "con", "80"])? == port);
    // The neighbour has left; what stays is what was.
    let mut now = String::new();
    wait::until("the rules to be there again", WELL, || {
        now = table().unwrap_or_default();
        now == rules
    })
    .with_context(|| format!("{rules}\n--- is now\n{now}"))?;
    // Killed and not broken: nothing changes either, and a removal needs no join before it.
    kill_runner(&bad)?;
    bad.put_right()?;
    bad.node.finish()
}

/// What was refused was never begun: it needs no driver to be taken back.
fn nobody_waits_for_a_driver_that_panicked() -> Result<()> {
    let mut bad = Bad::start("")?;
    running(&bad)?;
    bad.rule("network", "create poison before 0 1\n")?;
    let docker = bad.node.docker();
    let panicked = docker.run(&["network", "create", "second"])?;
    ensure!(
        panicked.code == 1 && panicked.err.contains("told to panic"),
        "{panicked:?}"
    );
    let asked = Instant::now();
    let refused = docker.run(&["run", "--rm", "--network", "n", "busybox", "true"])?;
    ensure!(
        refused.code == 125 && refused.err.contains("panicked in create"),
        "{refused:?}"
    );
    ensure!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    let (ready, why) = network_ready(&bad)?;
    ensure!(
        !ready && why.contains("panicked in create"),
        "{ready} {why}"
    );
    docker.ok(&["exec", "con", "true"])?;
    bad.well()?;
    bad.node.stop()?;
    bad.node.restart()?;
    ensure!(network_ready(&bad)?.0);
    bad.put_right()?;
    bad.node.finish()
}

/// Ends the process of the network plugin, as the kernel's killer of memory hogs would.
fn kill_runner(bad: &Bad) -> Result<()> {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let copy = plugin(bad, "network", "bridge")?["loaded_from"].clone();
    let copy = copy.as_str().context("a path")?;
    let daemon = i32::try_from(bad.node.pid())?;
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let maps = std::fs::read_to_string(entry.path().join("maps")).unwrap_or_default();
        if let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>()
            && pid != daemon
            && maps.contains(copy)
        {
            pids.push(pid);
        }
    }
    ensure!(pids.len() == 1, "processes with {copy}: {pids:?}");
    kill(Pid::from_raw(pids[0]), Signal::SIGKILL)?;
    Ok(())
}
