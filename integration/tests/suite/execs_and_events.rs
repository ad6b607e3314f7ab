//! Execs, probes and the numbers of events, while the daemon is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri, http, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

cases![
    probes_never_overlap,
    a_probe_does_not_outlive_its_daemon,
    numbers_of_events_are_never_used_twice,
    ended_execs_are_forgotten_and_running_ones_are_not,
    a_reader_that_comes_back_too_late_is_told,
    output_over_the_cap_does_not_hold_the_command,
    a_stuck_supervisor_delays_nobodys_figures,
];

const LIMIT: Duration = Duration::from_secs(20);

/// All kept events, as the operator's socket tells them.
fn events(node: &Node, query: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/events?follow=false{query}");
    let answer = http::request(&node.socket("gantry"), "GET", &path, "text/plain", b"")?;
    ensure!(answer.status == 200, "{answer:?}");
    let lines = answer.body.lines();
    lines
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

fn number(event: &Value) -> u64 {
    event["sequence"].as_u64().unwrap_or(0)
}

fn probes_never_overlap() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    // The lock goes with its processes, so that only a second probe finds it taken (then flock says 1; 137 if killed).
    let check =
        "exec 9>/v/lock; flock -n 9; [ $? = 1 ] && touch /v/two; sleep 0.3; echo x >> /v/count";
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "hh",
        "-v",
        "vv:/v",
        "--health-cmd",
        check,
        "--health-interval",
        "1ms",
        "busybox",
        "sleep",
        "1000",
    ])?;
    for _ in 0..4 {
        let before = docker
            .ok(&["exec", "hh", "cat", "/v/count"])
            .unwrap_or_default()
            .len();
        wait::until("more probes", LIMIT, || {
            docker
                .ok(&["exec", "hh", "cat", "/v/count"])
                .is_ok_and(|count| count.len() > before + 2)
        })?;
        docker.ok(&["pause", "hh"])?;
        docker.ok(&["unpause", "hh"])?;
        node.kill()?;
        node.restart()?;
    }
    let two = docker.run(&["exec", "hh", "test", "-e", "/v/two"])?;
    ensure!(two.code == 1, "two probes ran at once");
    node.finish()
}

fn a_probe_does_not_outlive_its_daemon() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "hh",
        "--health-cmd",
        "sleep 4321",
        "--health-interval",
        "100ms",
        "--health-timeout",
        "1h",
        "busybox",
        "sleep",
        "1000",
    ])?;
    let probes = || {
        let top = docker.ok(&["top", "hh", "-o", "pid,args"]);
        let top = top.unwrap_or_default();
        let pids = top.lines().filter(|line| line.ends_with(" sleep 4321"));
        pids.filter_map(|line| line.split_whitespace().next().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    wait::until("a probe", LIMIT, || probes().len() == 1)?;
    let first = probes();
    node.kill()?;
    wait::until("the end of the probe without a daemon", LIMIT, || {
        first
            .iter()
            .all(|pid| matches!(std::fs::exists(format!("/proc/{pid}")), Ok(false)))
    })?;
    node.restart()?;
    wait::until("another probe", LIMIT, || {
        let now = probes();
        now.len() == 1 && now != first
    })?;
    node.finish()
}

fn numbers_of_events_are_never_used_twice() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["run", "-d", "--name", "cc", "busybox", "sleep", "1000"])?;
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    for _ in 0..5 {
        docker.ok(&["exec", "cc", "true"])?;
        docker.ok(&["run", "--rm", "busybox", "true"])?;
        let mut last = 0;
        for event in events(&node, "")? {
            let number = number(&event);
            ensure!(number > last, "{number} after {last}");
            last = number;
            let text = event.to_string();
            let before = seen.insert(number, text.clone());
            ensure!(
                before.is_none_or(|before| before == text),
                "number {number} was used before, now for {text}"
            );
        }
        // At once: what nobody waits for may not be on disk yet.
        node.kill()?;
        node.restart()?;
    }
    // What changed a state is there, whatever was killed when.
    let starts = events(&node, "")?;
    let starts = starts.iter().filter(|event| event["action"] == "start");
    ensure!(starts.count() == 6);
    node.finish()
}

fn ended_execs_are_forgotten_and_running_ones_are_not() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["run", "-d", "--name", "cc", "busybox", "sleep", "1000"])?;
    let made = |command: &str| -> Result<String> {
        let body = format!(r#"{{"Cmd":["sh","-c","{command}"]}}"#);
        let answer = node.api("POST", "/v1.45/containers/cc/exec", body.as_bytes())?;
        ensure!(answer.status == 201, "{answer:?}");
        let id = answer.json()["Id"].as_str().context("an id")?.to_owned();
        Ok(id)
    };
    let start = |id: &str| -> Result<()> {
        let answer = node.api(
            "POST",
            &format!("/v1.45/exec/{id}/start"),
            br#"{"Detach":true}"#,
        )?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    };
    let status = |id: &str| -> Result<u16> {
        let answer = node.api("GET", &format!("/v1.45/exec/{id}/json"), b"")?;
        Ok(answer.status)
    };
    let running = made("sleep 1000")?;
    start(&running)?;
    let first = made("exit 7")?;
    start(&first)?;
    let shown = || node.api("GET", &format!("/v1.45/exec/{first}/json"), b"");
    wait::until("its exit code", LIMIT, || {
        shown().is_ok_and(|answer| answer.json()["ExitCode"] == 7)
    })?;
    // Those that were never started are bounded as well: the oldest are forgotten.
    let waiting = made("true")?;
    for _ in 0..2100 {
        made("true")?;
    }
    ensure!(status(&waiting)? == 404, "it was never started");
    ensure!(status(&first)? == 200, "it ended a moment ago");
    ensure!(status(&running)? == 200);
    let dies = events(&node, "")?;
    let die = dies
        .iter()
        .find(|event| event["action"] == "exec_die")
        .context("exec_die")?;
    ensure!(die["attributes"]["exitCode"] == "7" && die["attributes"]["execID"] == *first);
    ensure!(
        dies.iter()
            .any(|e| e["action"] == "exec_start: sh -c exit 7")
    );
    node.finish()
}

fn a_reader_that_comes_back_too_late_is_told() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["run", "-d", "--name", "cc", "busybox", "sleep", "1000"])?;
    let before = events(&node, "")?.last().map_or(0, number);
    // More short-lived events than are kept.
    let body = br#"{"Cmd":["true"]}"#;
    for _ in 0..4100 {
        let answer = node.api("POST", "/v1.45/containers/cc/exec", body)?;
        ensure!(answer.status == 201, "{answer:?}");
    }
    docker.ok(&["run", "--rm", "busybox", "true"])?;
    let after = events(&node, &format!("&since={before}"))?;
    ensure!(after[0]["lagged"]["last_seen"] == before, "{}", after[0]);
    ensure!(number(&after[1]) == after[0]["lagged"]["next"]);
    let all = events(&node, "")?;
    ensure!(
        all[0]["lagged"].is_null(),
        "who comes new has missed nothing"
    );
    // What changed a state was not pushed out.
    ensure!(all.iter().filter(|e| e["action"] == "start").count() == 2);
    node.finish()
}

fn output_over_the_cap_does_not_hold_the_command() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let api = node.cri()?;
    let config = cri::pod("p", "");
    let pod = api.run_pod(config.clone())?;
    let id = api.create(
        &pod,
        cri::container("c", BUSYBOX, &["sleep", "1000"]),
        config,
    )?;
    api.start(&id)?;
    let command = [
        "sh",
        "-c",
        "head -c 50000000 /dev/zero; echo end >&2; exit 3",
    ];
    let request = gantry_cri_api::v1::ExecSyncRequest {
        container_id: id.clone(),
        cmd: command.map(str::to_owned).to_vec(),
        timeout: 60,
    };
    let mut client = api.runtime().max_decoding_message_size(32 << 20);
    let ran = api.wait(client.exec_sync(request))?;
    ensure!(ran.exit_code == 3, "it ran to its end");
    ensure!(ran.stderr == b"end\n");
    ensure!((15 << 20..16 << 20).contains(&ran.stdout.len()));
    // The figures of a container that has just begun are there as well.
    let stats = api.wait(api.runtime().container_stats(
        gantry_cri_api::v1::ContainerStatsRequest {
            container_id: id.clone(),
        },
    ))?;
    let stats = stats.stats.context("figures")?;
    ensure!(stats.cpu.context("cpu")?.usage_core_nano_seconds.is_some());
    api.remove_pod(&pod)?;
    node.finish()
}

/// The parent of a process: its sandbox's supervisor.
fn parent(pid: &str) -> Result<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    Ok(line.context("a parent")?.trim().parse()?)
}

fn a_stuck_supervisor_delays_nobodys_figures() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    for name in ["stuck", "well"] {
        docker.ok(&["run", "-d", "--name", name, "busybox", "sleep", "1000"])?;
    }
    let stats = |name: &str, how: &str| {
        let begun = std::time::Instant::now();
        let path = format!("/v1.45/containers/{name}/stats?stream=0{how}");
        let answer = node.api("GET", &path, b"")?;
        ensure!(answer.status == 200, "{answer:?}");
        let used = answer.json()["cpu_stats"]["cpu_usage"]["total_usage"]
            .as_u64()
            .unwrap_or(0);
        Ok((used, begun.elapsed()))
    };
    let (used, _) = stats("stuck", "")?;
    ensure!(used > 0, "it has used some time");
    let pid = docker.ok(&["inspect", "-f", "{{.State.Pid}}", "stuck"])?;
    let supervisor = Pid::from_raw(parent(&pid)?);
    kill(supervisor, Signal::SIGSTOP)?;
    let checked = (|| {
        for _ in 0..3 {
            let (used, took) = stats("well", "")?;
            ensure!(used > 0 && took < Duration::from_secs(5), "{took:?}");
            // What was read before it was stuck is told at once, and by who waits for news as well.
            let (used, took) = stats("stuck", "&one-shot=1")?;
            ensure!(used > 0 && took < Duration::from_secs(1), "{took:?}");
        }
        let (used, took) = stats("stuck", "")?;
        ensure!(used > 0 && took < Duration::from_secs(15), "{took:?}");
        Ok(())
    })();
    kill(supervisor, Signal::SIGCONT)?;
    checked?;
    let (again, _) = stats("stuck", "")?;
    ensure!(again >= used);
    node.finish()
}
