//! The calls of an image's life (load, create, prune, remove) by a snapshotter that fails, hangs, leaves the outcome
//! open, panics or crashes in each. What a command cannot do without says so; what only counts or clears away holds
//! nobody up, and is made up for later. Once the plugin is well an image can be loaded, run and removed, and nothing stays.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gantry_integration::docker::Ran;
use gantry_integration::{cases, wait};

use super::plugin_faults::bad::{Bad, ISOLATED, WELL};

cases![
    image_calls_that_fail,
    image_calls_whose_outcome_is_unknown,
    image_calls_that_hang,
    image_calls_that_hang_after_their_work,
    image_calls_in_a_runner_that_crashes,
    image_calls_that_crash_the_daemon,
    image_calls_that_panic,
];

/// A call: function, how many go well before, the command that cannot do without it, if any.
///
/// Of `stat` a load asks twice. The calls of the interface that are not here (`view` of the snapshotter, `inspect` of
/// networks, `inspect`, `list` and `usage` of volumes) the daemon never makes.
const CALLS: [(&str, u32, &str); 7] = [
    ("stat", 0, "load"),
    ("remove", 0, "load"),
    ("prepare", 0, "load"),
    ("commit", 0, "load"),
    ("stat", 2, "create"),
    ("usage", 0, ""),
    ("list", 0, ""),
];

const KIND: &str = "snapshotter";
/// Who asked first is told the one, who asks while it hangs the other.
const HANGS: &[&str] = &["outcome is unknown", "has not returned since"];

/// A daemon without images.
fn start(more: &str) -> Result<Bad> {
    let mut bad = Bad::prepare(more)?;
    bad.node.restart()?;
    Ok(bad)
}

/// The life of an image, command by command, as far as it goes: what failed, and with which words.
fn live(bad: &Bad) -> Result<Vec<(&'static str, String)>> {
    let docker = bad.node.docker();
    let mut failed = Vec::new();
    let mut there = true;
    for step in ["load", "create", "prune", "rmi"] {
        let asked = Instant::now();
        let run = |args: &[&str]| docker.run(args).and_then(Ran::ok);
        let done = match step {
            "load" => bad.node.load_busybox(),
            "create" if there => run(&["create", "--name", "con", "busybox", "true"]),
            "prune" if there => run(&["container", "prune", "-f"]),
            "rmi" if there => run(&["rmi", "busybox"]),
            _ => continue,
        };
        ensure!(
            asked.elapsed() < Duration::from_secs(15),
            "{step} took {:?}",
            asked.elapsed()
        );
        if let Err(error) = done {
            there &= step != "load";
            failed.push((step, format!("{error:#}")));
        }
    }
    Ok(failed)
}

fn judge(bad: &Bad, function: &str, step: &str, words: &[&str]) -> Result<()> {
    let failed = live(bad)?;
    ensure!(bad.was_hit(KIND), "{function} was never called: {failed:?}");
    let Some((first, answer)) = failed.first() else {
        ensure!(step.is_empty(), "{step} should have failed");
        return Ok(());
    };
    ensure!(*first == step, "{step:?} should have failed: {failed:?}");
    for part in [function, "snapshotter/overlay"] {
        ensure!(answer.contains(part), "{part:?} in the answer: {answer}");
    }
    ensure!(
        words.iter().any(|word| answer.contains(word)),
        "{words:?} in the answer: {answer}"
    );
    Ok(())
}

/// The plugin is well: an image can be had, used and given back, whatever was before.
fn put_right(bad: &Bad) -> Result<()> {
    bad.well()?;
    let docker = bad.node.docker();
    let mut shown = String::new();
    let whole = || -> Result<()> {
        let flying = bad.in_flight()?;
        ensure!(flying.is_empty(), "{flying}");
        bad.node.load_busybox()?;
        docker.ok(&["run", "--rm", "busybox", "true"])?;
        for id in docker.ok(&["ps", "-aq"])?.lines() {
            docker.ok(&["rm", "-f", id])?;
        }
        docker.ok(&["rmi", "busybox"])?;
        Ok(())
    };
    wait::until("an image to have a life", WELL, || {
        shown = whole().map_or_else(|error| format!("{error:#}"), |()| String::new());
        shown.is_empty()
    })
    .with_context(|| shown.clone())?;
    bad.put_right()
}

fn table(
    bad: &mut Bad,
    action: &str,
    words: &[&str],
    after: impl Fn(&mut Bad) -> Result<()>,
) -> Result<()> {
    let mut wrong = Vec::new();
    for (function, skip, step) in CALLS {
        bad.rule(KIND, &format!("{function} {action} {skip} 1\n"))?;
        let row = judge(bad, function, step, words)
            .and_then(|()| after(bad))
            .and_then(|()| put_right(bad));
        if let Err(error) = row {
            wrong.push(format!("{function} {skip} {action}: {error:#}"));
            // The rows behind it deserve a clean start.
            let _ = put_right(bad);
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

fn image_calls_that_fail() -> Result<()> {
    let mut bad = start("")?;
    table(&mut bad, "error before", &["told to fail"], nothing)?;
    bad.node.finish()
}

fn image_calls_whose_outcome_is_unknown() -> Result<()> {
    let mut bad = start("")?;
    table(&mut bad, "unknown before", &["outcome open"], nothing)?;
    table(&mut bad, "unknown after", &["outcome open"], nothing)?;
    bad.node.finish()
}

fn image_calls_that_hang() -> Result<()> {
    let mut bad = start("")?;
    table(&mut bad, "hang before", HANGS, told_of_a_late_call)?;
    bad.node.finish()
}

fn image_calls_that_hang_after_their_work() -> Result<()> {
    let mut bad = start("")?;
    table(&mut bad, "hang after", HANGS, told_of_a_late_call)?;
    bad.node.finish()
}

fn told_of_a_late_call(bad: &mut Bad) -> Result<()> {
    let mut list = String::new();
    // Nobody waits for a collection in the background.
    wait::until("a late call to be told", WELL, || {
        let shown = bad.node.gantry(&["plugin", "list"]).and_then(Ran::ok);
        list = shown.unwrap_or_default();
        list.contains("has not returned since") && list.contains("past its deadline")
    })
    .with_context(|| list.clone())
}

/// Two crashes are one too many for a table of them: each row begins with a clean record.
fn image_calls_in_a_runner_that_crashes() -> Result<()> {
    let mut bad = start(ISOLATED)?;
    let words = &["died in the call", "in quarantine"];
    for action in ["segv before", "exit after"] {
        table(&mut bad, action, words, |bad| {
            bad.node.stop()?;
            std::fs::remove_file(bad.node.root().join("plugins/crashes.json"))?;
            bad.node.restart()
        })?;
    }
    bad.node.finish()
}

fn image_calls_that_crash_the_daemon() -> Result<()> {
    let mut wrong = Vec::new();
    for (function, skip, _) in CALLS {
        if let Err(error) = crash(function, skip) {
            wrong.push(format!("{function} {skip}: {error:#}"));
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

fn crash(function: &str, skip: u32) -> Result<()> {
    let mut bad = start("")?;
    bad.rule(KIND, &format!("{function} segv before {skip} 1\n"))?;
    let failed = live(&bad)?;
    let mut ended = None;
    wait::until("gantryd to have crashed", WELL, || {
        ended = bad.node.ended();
        ended.is_some()
    })
    .with_context(|| format!("{failed:?}"))?;
    ensure!(bad.was_hit(KIND), "{function} was never called: {failed:?}");
    bad.well()?;
    bad.node.restart()?;
    let log = bad.node.log();
    let said = format!("the plugin crashed plugin=\"snapshotter/overlay\" call=\"{function} ");
    ensure!(log.contains(&said), "{said:?} in {log}");
    put_right(&bad)?;
    bad.node.finish()
}

fn image_calls_that_panic() -> Result<()> {
    let mut bad = start("")?;
    for (function, skip, step) in CALLS {
        bad.rule(KIND, &format!("{function} poison before {skip} 1\n"))?;
        let words = &["told to panic", "panicked in"];
        // From the first panic on everything is refused: of a call nobody waits for, what follows it.
        let row = match step {
            "" => live(&bad).map(drop),
            step => judge(&bad, function, step, words),
        };
        row.with_context(|| format!("{function} {skip}"))?;
        let list = bad.node.gantry(&["plugin", "list"])?.ok()?;
        let said = format!("it panicked in {function} of");
        ensure!(
            list.contains("poisoned") && list.contains(&said),
            "{said:?} in\n{list}"
        );
        bad.well()?;
        bad.node.stop()?;
        bad.node.restart()?;
        put_right(&bad).with_context(|| format!("{function} {skip}"))?;
    }
    bad.node.finish()
}
