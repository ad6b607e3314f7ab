//! `docker logs`: drivers, options, and reading across files that were put aside.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_integration::{Node, cases, wait};

cases![
    a_follower_reads_across_rotation,
    pieces_of_a_rotated_log,
    drivers_and_their_words,
];

const ROTATED: [&str; 6] = [
    "--log-opt",
    "max-size=40k",
    "--log-opt",
    "max-file=1000",
    "--log-opt",
    "compress=true",
];

fn run(node: &Node, options: &[&str], script: &str) -> Result<String> {
    let mut args = vec!["run", "-d", "--net", "none"];
    args.extend(options);
    args.extend(["busybox", "sh", "-c", script]);
    node.docker().ok(&args)
}

fn numbers(from: usize, to: usize) -> String {
    (from..=to).map(|n| format!("{n}\n")).collect()
}

/// The two as `docker logs` of each driver that rotates gives them.
fn drivers() -> [Vec<&'static str>; 2] {
    let local = [&["--log-driver", "local"][..], &ROTATED[..4]].concat();
    [ROTATED.to_vec(), local]
}

fn a_follower_reads_across_rotation() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    for options in drivers() {
        // Full speed, with a breath now and then so that it lives long enough to be followed.
        let id = run(
            &node,
            &options,
            "i=0; while [ $i -lt 20 ]; do seq $((i*1000)) $((i*1000+999)); i=$((i+1)); sleep 0.1; done",
        )?;
        let followers = [
            docker.live(&["logs", "-f", &id])?,
            docker.live(&["logs", "-f", "--tail", "all", &id])?,
        ];
        for follower in followers {
            let ran = follower.end()?;
            ensure!(
                ran.code == 0 && ran.out == numbers(0, 19_999),
                "{options:?}: {} of 20000 lines, {:.300}",
                ran.out.lines().count(),
                ran.err
            );
        }
        ensure!(docker.ok(&["logs", &id])? == numbers(0, 19_999).trim());
        docker.ok(&["rm", &id])?;
    }
    node.finish()
}

fn pieces_of_a_rotated_log() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    for options in drivers() {
        let id = run(
            &node,
            &options,
            "seq 1 5000; sleep 1.2; seq 5001 9999; sleep 1000",
        )?;
        wait::until("all lines", Duration::from_secs(10), || {
            docker
                .ok(&["logs", "--tail", "1", &id])
                .is_ok_and(|last| last == "9999")
        })?;
        let logs = |args: &[&str]| docker.ok(&[&["logs"], args, &[id.as_str()]].concat());
        for tail in [0, 1, 7, 3000, 9999, 20_000_usize] {
            let expected = numbers(10_000_usize.saturating_sub(tail).max(1), 9999);
            let got = logs(&["--tail", &tail.to_string()])?;
            ensure!(got == expected.trim(), "tail {tail}: {:.40}", got);
        }
        let stamped = logs(&["-t"])?;
        let time = |line: &str| -> Result<String> {
            let stamped = stamped.lines().find(|l| l.ends_with(&format!("Z {line}")));
            let (time, _) = stamped.and_then(|l| l.split_once(' ')).context("stamped")?;
            ensure!(
                time.len() == "2006-01-02T15:04:05.000000000Z".len(),
                "{time}"
            );
            Ok(time.to_owned())
        };
        let times: Vec<&str> = stamped.lines().map(|l| &l[..30]).collect();
        ensure!(times.is_sorted() && times.len() == 9999);
        // The pause lies between the two: lines after it, lines before it, and both as a duration's difference.
        let (before, after) = (time("5000")?, time("5001")?);
        ensure!(logs(&["--since", &after])? == numbers(5001, 9999).trim());
        ensure!(logs(&["--since", &after, "--until", &after])?.starts_with("5001"));
        let early = logs(&["--until", &before])?;
        ensure!(
            early.ends_with("5000") && early == numbers(1, 5000).trim(),
            "{:.99}",
            early
        );
        ensure!(logs(&["--since", "10m"])?.lines().count() == 9999);
        ensure!(logs(&["--since", "2100-01-01T00:00:00Z"])?.is_empty());
        // Following a log that is still ends when its time has passed.
        ensure!(logs(&["-f", "--until", &before])?.lines().count() == 5000);
        ensure!(
            logs(&["--details", "--tail", "1"])? == "9999",
            "no attributes are written"
        );
        docker.ok(&["rm", "-f", &id])?;
    }
    node.finish()
}

fn drivers_and_their_words() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let shown = |id: &str, what: &str| docker.ok(&["inspect", "-f", what, id]);
    let id = run(&node, &["--log-driver", "none"], "echo hi")?;
    let ran = docker.run(&["logs", &id])?;
    ensure!(
        ran.code == 1
            && ran
                .err
                .contains("configured logging driver does not support reading"),
        "{ran:?}"
    );
    let attached = docker.ok(&[
        "run",
        "--rm",
        "--log-driver",
        "none",
        "busybox",
        "echo",
        "hi",
    ])?;
    ensure!(attached == "hi", "attached clients see it all the same");
    let id = run(
        &node,
        &["--log-driver", "local"],
        "printf 'a\\377b\\nlast'; echo err >&2",
    )?;
    docker.ok(&["wait", &id])?;
    let read = docker.command(&["logs", &id]).output()?;
    ensure!(
        (&*read.stdout, &*read.stderr) == (b"a\xffb\nlast", b"err\n"),
        "every byte as it was: {read:?}"
    );
    ensure!(shown(&id, "{{.HostConfig.LogConfig.Type}}:{{.LogPath}}")? == "local:");
    for (options, words) in [
        (
            &["--log-opt", "x=1"][..],
            "unknown log opt 'x' for json-file log driver",
        ),
        (
            &["--log-driver", "local", "--log-opt", "x=1"],
            "unknown log opt 'x' for log driver local",
        ),
        (
            &["--log-opt", "labels=a"],
            "'labels' is not served by gantry yet",
        ),
        (
            &["--log-opt", "mode=non-blocking"],
            "'mode=non-blocking' is not served",
        ),
        (
            &["--log-opt", "compress=true"],
            "compress cannot be true when",
        ),
        (
            &["--log-driver", "journald"],
            "log driver journald is not served by gantry yet",
        ),
        (
            &["--log-driver", "nope"],
            "no log driver named 'nope' is registered",
        ),
    ] {
        let ran = docker.run(&[&["create"], options, &["busybox"]].concat())?;
        ensure!(
            ran.code != 0 && ran.err.contains(words),
            "{options:?}: {ran:?}"
        );
    }
    node.finish()
}
