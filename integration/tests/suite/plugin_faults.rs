//! Plugins that fail, hang, leave an outcome open, panic or crash in each call that the daemon makes, in this process and
//! in one of their own. What must be true each time: the answer names plugin and call; `gantry ops` and
//! `gantry plugin list` tell it in words; when the plugin is well again nothing is left.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gantry_integration::docker::Ran;
use gantry_integration::{cases, wait};

pub(crate) mod bad;

use bad::{Bad, ISOLATED, REPLACED, WELL};

cases![
    calls_that_fail,
    calls_whose_outcome_is_unknown,
    calls_that_hang,
    calls_that_hang_after_their_work,
    calls_that_hang_in_a_runner,
    calls_that_crash_a_runner,
    calls_that_crash_the_daemon,
    calls_that_panic,
    a_plugin_that_hangs_at_the_start_keeps_no_door_shut,
    a_hang_is_told_in_words_and_cancelled_by_an_operator,
];

/// Each call that a container's life makes, and the command it is part of.
///
/// What ends a run is asked for twice before a removal fails: when the run ends, and by the removal.
const CALLS: [(&str, &str, &str, u32); 11] = [
    ("volume", "create", "volume create", 1),
    ("network", "create", "network create", 1),
    ("snapshotter", "prepare", "create", 1),
    ("volume", "mount", "start", 1),
    ("snapshotter", "mounts", "start", 1),
    ("network", "join", "start", 1),
    ("network", "leave", "rm", 2),
    ("volume", "unmount", "rm", 2),
    ("snapshotter", "remove", "rm", 1),
    ("volume", "remove", "volume rm", 1),
    ("network", "delete", "network rm", 1),
];

/// One row of a table: what happened, and what should not have.
fn judge(bad: &Bad, kind: &str, function: &str, step: &str, words: &[&str]) -> Result<()> {
    let plugin = REPLACED
        .iter()
        .find(|(k, ..)| *k == kind)
        .map_or("", |(_, name, _)| *name);
    let ran = bad.live()?;
    ensure!(bad.was_hit(kind), "{function} was never called: {ran:?}");
    let failed: Vec<&(&str, Ran)> = ran.iter().filter(|(_, ran)| ran.code != 0).collect();
    let first = failed
        .first()
        .with_context(|| format!("no command failed: {ran:?}"))?;
    ensure!(first.0 == step, "{step} should have failed: {failed:?}");
    let answer = &first.1.err;
    for part in [function, &format!("{kind}/{plugin}")] {
        ensure!(answer.contains(part), "{part:?} in the answer: {answer}");
    }
    ensure!(
        words.iter().any(|word| answer.contains(word)),
        "{words:?} in the answer: {answer}"
    );
    Ok(())
}

/// Runs a whole table in one daemon; every row is tried, and all that went wrong are told.
fn table(
    bad: &mut Bad,
    action: &str,
    words: &[&str],
    after: impl Fn(&mut Bad) -> Result<()>,
) -> Result<()> {
    let mut wrong = Vec::new();
    for (kind, function, step, times) in CALLS {
        bad.rule(kind, &format!("{function} {action} 0 {times}\n"))?;
        let row = judge(bad, kind, function, step, words)
            .and_then(|()| after(bad))
            .and_then(|()| bad.put_right());
        if let Err(error) = row {
            wrong.push(format!("{kind} {function} {action}: {error:#}"));
            bad.well()?;
            // The rows behind it deserve a clean start.
            let _ = bad.put_right();
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{} rows:\n{}", wrong.len(), wrong.join("\n"))
}

fn nothing(_: &mut Bad) -> Result<()> {
    Ok(())
}

fn calls_that_fail() -> Result<()> {
    let mut bad = Bad::start("")?;
    table(&mut bad, "error before", &["told to fail"], nothing)?;
    bad.node.finish()
}

fn calls_whose_outcome_is_unknown() -> Result<()> {
    let mut bad = Bad::start("")?;
    table(&mut bad, "unknown before", &["outcome open"], nothing)?;
    table(&mut bad, "unknown after", &["outcome open"], nothing)?;
    bad.node.finish()
}

fn calls_that_hang() -> Result<()> {
    let mut bad = Bad::start("")?;
    table(&mut bad, "hang before", HANGS, told_of_a_late_call)?;
    bad.node.finish()
}

fn calls_that_hang_after_their_work() -> Result<()> {
    let mut bad = Bad::start("")?;
    table(&mut bad, "hang after", HANGS, told_of_a_late_call)?;
    bad.node.finish()
}

fn told_of_a_late_call(bad: &mut Bad) -> Result<()> {
    let list = bad.node.gantry(&["plugin", "list"])?.ok()?;
    for part in ["has not returned since", "past its deadline"] {
        ensure!(list.contains(part), "{part:?} in\n{list}");
    }
    Ok(())
}

/// Who asked first is told the one, who asks while it hangs the other.
const HANGS: &[&str] = &["outcome is unknown", "has not returned since"];

fn calls_that_hang_in_a_runner() -> Result<()> {
    let mut bad = Bad::start(ISOLATED)?;
    table(&mut bad, "hang before", HANGS, nothing)?;
    bad.node.finish()
}

fn calls_that_crash_a_runner() -> Result<()> {
    let mut bad = Bad::start(ISOLATED)?;
    table(
        &mut bad,
        "segv before",
        &["died in the call", "in quarantine"],
        Bad::let_in,
    )?;
    table(
        &mut bad,
        "exit after",
        &["died in the call", "in quarantine"],
        Bad::let_in,
    )?;
    bad.node.finish()
}

/// The daemon dies with the plugin. Started again it knows the call, and releases what was left; the second time the
/// plugin is put away, and doors open without it.
fn calls_that_crash_the_daemon() -> Result<()> {
    let mut wrong = Vec::new();
    for (kind, function, ..) in CALLS {
        if let Err(error) = crash(kind, function) {
            wrong.push(format!("{kind} {function}: {error:#}"));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

fn crash(kind: &str, function: &str) -> Result<()> {
    let mut bad = Bad::start("")?;
    bad.rule(kind, &format!("{function} segv before 0 1\n"))?;
    let ran = bad.live()?;
    ensure!(bad.was_hit(kind), "{function} was never called: {ran:?}");
    // It is dead already.
    bad.node.kill()?;
    bad.well()?;
    bad.node.restart()?;
    let log = bad.node.log();
    ensure!(
        log.contains("the plugin crashed") && log.contains(&format!("{kind}/")),
        "the daemon says what took it down: {log}"
    );
    bad.put_right()?;
    bad.node.finish()
}

fn calls_that_panic() -> Result<()> {
    let mut bad = Bad::start("")?;
    for (kind, function, step, times) in CALLS {
        bad.rule(kind, &format!("{function} poison before 0 {times}\n"))?;
        let row = judge(
            &bad,
            kind,
            function,
            step,
            &["told to panic", "panicked in"],
        );
        row.with_context(|| format!("{kind} {function}"))?;
        let list = bad.node.gantry(&["plugin", "list"])?.ok()?;
        let said = format!("it panicked in {function} of");
        ensure!(
            list.contains("poisoned") && list.contains(&said),
            "{said:?} in\n{list}"
        );
        // It is refused from now on; a new daemon opens it again.
        bad.well()?;
        bad.node.stop()?;
        bad.node.restart()?;
        bad.put_right()
            .with_context(|| format!("{kind} {function}"))?;
    }
    bad.node.finish()
}

/// Calls that are made before the doors open.
fn a_plugin_that_hangs_at_the_start_keeps_no_door_shut() -> Result<()> {
    let mut bad = Bad::start("")?;
    for (kind, function) in [("network", "reconcile"), ("snapshotter", "cleanup")] {
        bad.node.stop()?;
        bad.rule(kind, &format!("{function} hang before 0 1\n"))?;
        let asked = Instant::now();
        bad.node
            .restart()
            .with_context(|| format!("{function} hangs"))?;
        ensure!(
            asked.elapsed() < Duration::from_secs(10),
            "{function}: {:?}",
            asked.elapsed()
        );
        let shown = || {
            bad.node
                .gantry(&["plugin", "list"])
                .and_then(Ran::ok)
                .unwrap_or_default()
        };
        let wanted = format!("{function} of /{function} has not returned since");
        wait::until(&wanted, WELL, || shown().contains(&wanted)).with_context(shown)?;
        bad.put_right().with_context(|| function.to_owned())?;
    }
    bad.node.finish()
}

fn a_hang_is_told_in_words_and_cancelled_by_an_operator() -> Result<()> {
    let bad = Bad::start("")?;
    let (docker, node) = (bad.node.docker(), &bad.node);
    // One that listens to its cancel.
    bad.rule("volume", "create slow before 0 1\n")?;
    let creates = docker.live(&["volume", "create", "vol"])?;
    let ops = || -> Result<serde_json::Value> {
        Ok(serde_json::from_str(
            &node.gantry(&["ops", "--json"])?.ok()?,
        )?)
    };
    let one = wait::some("the operation to be listed", WELL, || {
        let one = ops().ok()?.as_array()?.first()?.clone();
        (one["waits_for"] != "").then_some(one)
    })?;
    ensure!(
        one["kind"] == "create_volume" && one["object"] == "vol",
        "{one}"
    );
    let table = node.gantry(&["ops"])?.ok()?;
    ensure!(
        table.contains("create volume") && table.contains("volume driver local: create, since"),
        "{table}"
    );
    let id = one["id"].as_str().context("an id")?;
    let told = node.gantry(&["ops", "cancel", &id[..8]])?.ok()?;
    ensure!(told.contains(&id[..12]), "{told}");
    let created = creates.end()?;
    ensure!(
        created.code == 1 && created.err.contains("cancel"),
        "{created:?}"
    );
    let gone = node.gantry(&["ops", "cancel", id])?;
    ensure!(
        gone.code == 1 && gone.err.contains("no operation"),
        "{gone:?}"
    );
    ensure!(node.gantry(&["ops", "cancel", "xyz"])?.code == 2);
    // One that does not: the object stays locked, and who asks again is told why, at once.
    bad.rule("volume", "create hang before 0 1\n")?;
    let hung = docker.run(&["volume", "create", "vol"])?;
    ensure!(
        hung.code == 1 && hung.err.contains("vol is locked until it returns"),
        "{hung:?}"
    );
    let asked = Instant::now();
    let again = docker.run(&["volume", "create", "vol"])?;
    ensure!(
        again.code == 1 && again.err.contains("create of vol has not returned since"),
        "{again:?}"
    );
    ensure!(
        asked.elapsed() < Duration::from_millis(900),
        "{:?}",
        asked.elapsed()
    );
    let table = node.gantry(&["ops"])?.ok()?;
    ensure!(table.contains("stuck"), "{table}");
    // Others go on.
    docker.ok(&["volume", "create", "other"])?;
    docker.ok(&["volume", "rm", "other"])?;
    bad.put_right()?;
    let list = node.gantry(&["plugin", "list"])?.ok()?;
    ensure!(
        list.contains("returned after the deadline; the last: create of vol was done after"),
        "{list}"
    );
    bad.node.finish()
}
