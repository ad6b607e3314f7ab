//! What execs leave: their whole trees die at the deadline or with whoever asked, clients that vanish leave nothing in
//! gantryd and its supervisors, and a supervisor that dies takes all of its own along and nobody else's.
//!
//! `GANTRY_ROUNDS` is the number of rounds with vanishing clients (10,000 by hand, 300 in CI).

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gantry_cri_api::v1::ContainerState;
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri, http, leaks, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

cases![
    a_deadline_kills_what_a_command_has_left,
    a_probe_dies_with_the_daemon_that_asked,
    clients_that_vanish_leave_nothing,
    a_dead_supervisor_takes_its_own_along,
    limits_change_as_a_whole_or_not_at_all,
];

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// Processes with this on their command line, without those whose line only quotes it in a script.
fn sleeping(seconds: u32) -> usize {
    let line = format!("sleep {seconds}");
    let ours = leaks::processes_of(&line);
    ours.iter().filter(|(_, l)| l.trim() == line).count()
}

fn a_deadline_kills_what_a_command_has_left() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let api = node.cri()?;
    let logs = node.dir().join("logs");
    fs::create_dir_all(&logs)?;
    let config = cri::pod("p", &logs.display().to_string());
    let pod = api.run_pod(config.clone())?;
    let id = api.create(
        &pod,
        cri::container("c", BUSYBOX, &["sleep", "100000"]),
        config,
    )?;
    api.start(&id)?;
    // A daemon two forks away in a session of its own, one that ignores every signal it can, one that keeps forking.
    let script = "(setsid sh -c 'sleep 71001 &' &) ; (trap '' TERM HUP INT; sleep 71001) & \
        (while :; do sleep 0.01; done) & sleep 71001";
    let begun = Instant::now();
    let late = api.exec(&id, &["sh", "-c", script], 1);
    ensure!(
        late.as_ref()
            .is_err_and(|s| s.code() == tonic::Code::DeadlineExceeded),
        "{late:?}"
    );
    ensure!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    ensure!(
        sleeping(71001) == 0,
        "the tree is dead when the answer comes"
    );
    // The container itself goes on, and is not out of room for execs.
    let ran = api.exec(&id, &["sh", "-c", "ps | grep -vc '[[]'"], 5)?;
    let count: usize = String::from_utf8_lossy(&ran.stdout).trim().parse()?;
    ensure!(count < 8, "{count} processes are left");
    // Output without end: cut, read on so that the command can end, and it still ends at its deadline.
    let late = api.exec(&id, &["sh", "-c", "yes; sleep 71002"], 2);
    ensure!(late.is_err(), "{late:?}");
    let much = api.exec(&id, &["sh", "-c", "head -c 3000000 /dev/zero; exit 4"], 20)?;
    ensure!(
        much.exit_code == 4 && much.stdout.len() <= 16 << 20,
        "{}",
        much.stdout.len()
    );
    ensure!(api.status(&id)?.state() == ContainerState::ContainerRunning);
    node.finish()
}

fn a_probe_dies_with_the_daemon_that_asked() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "hh",
        "--health-cmd",
        "(setsid sleep 72001 &); sleep 72001",
        "--health-interval",
        "1s",
        "--health-timeout",
        "1000s",
        "busybox",
        "sleep",
        "100000",
    ])?;
    wait::until("the probe to run", Duration::from_secs(15), || {
        sleeping(72001) == 2
    })?;
    // Another exec of a client's own is nobody's probe: it goes on.
    docker.ok(&["exec", "-d", "hh", "sleep", "72002"])?;
    wait::until("the exec to run", Duration::from_secs(10), || {
        sleeping(72002) == 1
    })?;
    node.kill()?;
    wait::until(
        "the probe's tree to be killed",
        Duration::from_secs(10),
        || sleeping(72001) == 0,
    )?;
    ensure!(sleeping(72002) == 1, "an exec outlives the daemon");
    node.restart()?;
    ensure!(docker.ok(&["inspect", "-f", "{{.State.Running}}", "hh"])? == "true");
    node.finish()
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    kib: i64,
    files: i64,
    threads: i64,
}

fn held(pid: i32) -> Result<Held> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<i64> {
        let line = status.lines().find_map(|l| l.strip_prefix(name));
        let word = line.and_then(|l| l.split_whitespace().next());
        Ok(word.with_context(|| format!("no {name}"))?.parse()?)
    };
    Ok(Held {
        kib: field("RssAnon:")?,
        files: i64::try_from(fs::read_dir(format!("/proc/{pid}/fd"))?.count())?,
        threads: field("Threads:")?,
    })
}

fn supervisor(node: &Node) -> Result<i32> {
    let shims = fs::read_dir(node.run().join("shims"))?;
    let states = shims.flatten().map(|e| e.path().join("state.json"));
    let mut pids = Vec::new();
    for state in states {
        let state: serde_json::Value = serde_json::from_slice(&fs::read(state)?)?;
        pids.extend(state["pid"].as_i64());
    }
    ensure!(pids.len() == 1, "{} supervisors", pids.len());
    Ok(i32::try_from(pids[0])?)
}

/// One client that goes away in one of the ways clients do.
fn vanish(node: &Node, round: usize) -> Result<()> {
    let socket = node.socket("docker");
    let exec = |body: &str| -> Result<String> {
        let made = node.api("POST", "/containers/cc/exec", body.as_bytes())?;
        ensure!(made.status == 201, "{made:?}");
        Ok(made.json()["Id"].as_str().context("no id")?.to_owned())
    };
    let start = |id: &str| {
        http::open(
            &socket,
            "POST",
            &format!("/exec/{id}/start"),
            UPGRADE,
            b"{}",
        )
    };
    match round % 10 {
        // Made and never started.
        0 => drop(exec(r#"{"AttachStdout":true,"Cmd":["true"]}"#)?),
        // As one should.
        1 => {
            let id = exec(r#"{"AttachStdout":true,"Cmd":["echo","hi"]}"#)?;
            ensure!(start(&id)?.read(100).ends_with(b"hi\n"));
        }
        // Gone while output comes, none of it read.
        2 => drop(start(&exec(
            r#"{"AttachStdout":true,"Cmd":["sh","-c","head -c 2000000 /dev/zero"]}"#,
        )?)?),
        // Gone in the middle of input.
        3 => {
            let id = exec(r#"{"AttachStdin":true,"AttachStdout":true,"Cmd":["cat"]}"#)?;
            start(&id)?.stream.write_all(&[7; 5000])?;
        }
        // Gone before the answer: the request is sent and nothing is read.
        4 => {
            let id = exec(r#"{"AttachStdout":true,"Cmd":["echo","hi"]}"#)?;
            let mut stream = std::os::unix::net::UnixStream::connect(&socket)?;
            write!(
                stream,
                "POST /exec/{id}/start HTTP/1.1\r\nHost: d\r\n{UPGRADE}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
            )?;
        }
        // Attached to the container, and gone at once or after some output.
        5 | 6 => {
            let path = "/containers/cc/attach?stream=1&stdout=1&stderr=1&stdin=1";
            let mut open = http::open(&socket, "POST", path, UPGRADE, b"")?;
            if round % 10 == 6 {
                open.stream.write_all(b"some input\n")?;
                open.read(1);
            }
        }
        // A shell at a terminal whose window was closed.
        7 => {
            let id = exec(r#"{"AttachStdin":true,"AttachStdout":true,"Tty":true,"Cmd":["sh"]}"#)?;
            let mut open = start(&id)?;
            open.stream.write_all(b"echo typed\n")?;
            open.read(1);
        }
        // Input nobody ever reads.
        8 => {
            let id = exec(r#"{"AttachStdin":true,"Cmd":["sleep","1"]}"#)?;
            let mut open = start(&id)?;
            open.stream
                .set_write_timeout(Some(Duration::from_millis(20)))?;
            let _ = open.stream.write_all(&vec![7; 2 << 20]);
        }
        // Detached: nobody ever listens.
        _ => {
            let id = exec(r#"{"AttachStdout":true,"Cmd":["echo","nobody hears"]}"#)?;
            let path = format!("/exec/{id}/start");
            let started = node.api("POST", &path, br#"{"Detach":true}"#)?;
            ensure!(started.status == 200, "{started:?}");
        }
    }
    Ok(())
}

fn clients_that_vanish_leave_nothing() -> Result<()> {
    /// Rounds until everything that is kept once has been.
    const WARM: usize = 80;
    let rounds: usize = std::env::var("GANTRY_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(300);
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-di",
        "--name",
        "cc",
        "--log-driver",
        "none",
        "busybox",
        "sh",
        "-c",
        "while :; do echo tick; sleep 0.05; done",
    ])?;
    let supervisor = supervisor(&node)?;
    let daemon = i32::try_from(node.pid())?;
    // What was left behind has to be noticed: a half-closed connection is looked at twice a second.
    let settled = || -> Result<[Held; 2]> {
        let mut seen = String::new();
        wait::until("execs to end", Duration::from_secs(90), || {
            seen = match docker.run(&["top", "cc"]) {
                Ok(ran) => format!("{}{}", ran.out, ran.err),
                Err(error) => error.to_string(),
            };
            seen.lines().count() <= 3
        })
        .with_context(|| format!("still there:\n{seen}"))?;
        let mut last = [held(daemon)?, held(supervisor)?];
        wait::until("descriptors to settle", Duration::from_secs(30), || {
            let Ok(now) = held(daemon).and_then(|d| Ok([d, held(supervisor)?])) else {
                return false;
            };
            let still = (0..2).all(|i| now[i].files == last[i].files);
            last = now;
            // Two looks apart enough to see the half-closed ones go.
            std::thread::park_timeout(Duration::from_millis(1500));
            still
        })?;
        Ok(last)
    };
    for round in 0..WARM {
        vanish(&node, round)?;
    }
    let before = settled()?;
    let begun = Instant::now();
    for round in 0..rounds {
        vanish(&node, round).with_context(|| format!("round {round}"))?;
    }
    let took = begun.elapsed();
    let after = settled()?;
    for (name, i) in [("gantryd", 0), ("supervisor", 1)] {
        eprintln!(
            "         {name}, {rounds} rounds in {took:.0?}: {:?} -> {:?}",
            before[i], after[i]
        );
        ensure!(
            after[i].files <= before[i].files + 8 && after[i].threads <= before[i].threads + 4,
            "{name}: {:?} -> {:?}",
            before[i],
            after[i]
        );
    }
    // Ended execs are kept for a while by number, some hundred bytes each; a leak per round would be far more.
    let grown = after[0].kib - before[0].kib;
    ensure!(grown < 16 << 10, "gantryd grew by {grown} KiB");
    let grown = after[1].kib - before[1].kib;
    ensure!(grown < 1 << 10, "the supervisor grew by {grown} KiB");
    ensure!(docker.ok(&["exec", "cc", "echo", "well"])? == "well");
    node.finish()
}

fn a_dead_supervisor_takes_its_own_along() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run", "-d", "--name", "dd", "-p", "8081:80", "busybox", "sleep", "73001",
    ])?;
    docker.ok(&[
        "exec",
        "-d",
        "dd",
        "sh",
        "-c",
        "(setsid sleep 73001 &); sleep 73001",
    ])?;
    wait::until("all to run", Duration::from_secs(10), || {
        sleeping(73001) == 3
    })?;
    let dead = supervisor(&node)?;
    // Frozen processes are the hardest to kill.
    docker.ok(&["pause", "dd"])?;
    docker.ok(&["run", "-d", "--name", "other", "busybox", "sleep", "73002"])?;
    let hanging = docker.live(&["wait", "dd"])?;
    kill(Pid::from_raw(dead), Signal::SIGKILL)?;
    let waited = hanging.end()?;
    ensure!(waited.code == 0, "wait answers: {waited:?}");
    let state = docker.ok(&[
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}",
        "dd",
    ])?;
    ensure!(
        state.starts_with("exited 255") || state.starts_with("exited 137"),
        "{state}"
    );
    ensure!(
        sleeping(73001) == 0,
        "its processes are dead when its end is told"
    );
    ensure!(sleeping(73002) == 1, "another sandbox notices nothing");
    ensure!(docker.ok(&["exec", "other", "echo", "hi"])? == "hi");
    // Its port and everything else is free again.
    docker.ok(&["start", "dd"])?;
    ensure!(docker.ok(&["exec", "dd", "echo", "hi"])? == "hi");
    ensure!(docker.ok(&["rm", "-f", "dd", "other"])?.lines().count() == 2);
    let left: Vec<_> = fs::read_dir(node.run().join("shims"))?.flatten().collect();
    ensure!(left.is_empty(), "{left:?}");
    node.finish()
}

/// A file of the container's cgroup, on either version.
fn limit(
    docker: &gantry_integration::docker::Docker,
    v1: (&str, &str),
    v2: &str,
) -> Result<String> {
    let pid = docker.ok(&["inspect", "-f", "{{.State.Pid}}", "ll"])?;
    for line in fs::read_to_string(format!("/proc/{pid}/cgroup"))?.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, names, path) = (parts.next(), parts.next(), parts.next());
        let (Some(names), Some(path)) = (names, path) else {
            continue;
        };
        let file = if names.split(',').any(|n| n == v1.0) {
            format!("/sys/fs/cgroup/{names}{path}/{}", v1.1)
        } else if names.is_empty() && fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok() {
            format!("/sys/fs/cgroup{path}/{v2}")
        } else {
            continue;
        };
        return Ok(fs::read_to_string(&file)
            .with_context(|| file)?
            .trim()
            .to_owned());
    }
    bail!("no cgroup of {}", v1.0)
}

fn limits_change_as_a_whole_or_not_at_all() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "ll",
        "-m",
        "64m",
        "--memory-swap",
        "128m",
        "busybox",
        "sleep",
        "100000",
    ])?;
    let memory = || limit(&docker, ("memory", "memory.limit_in_bytes"), "memory.max");
    // Above the old sum and below it again: each needs the other order of writes.
    for (new, both) in [
        ("512m", "600m"),
        ("32m", "48m"),
        ("256m", "-1"),
        ("64m", "64m"),
    ] {
        docker.ok(&["update", "-m", new, "--memory-swap", both, "ll"])?;
        let mib: u64 = new.trim_end_matches('m').parse()?;
        ensure!(memory()? == (mib << 20).to_string(), "{new}: {}", memory()?);
    }
    // A cpuset for one that had none, with its processes and the execs of before and after in it.
    docker.ok(&["exec", "-d", "ll", "sleep", "74001"])?;
    wait::until("the exec", Duration::from_secs(5), || sleeping(74001) == 1)?;
    docker.ok(&["update", "--cpuset-cpus", "0", "ll"])?;
    let cpus = || limit(&docker, ("cpuset", "cpuset.cpus"), "cpuset.cpus");
    ensure!(cpus()? == "0", "{}", cpus()?);
    let grep = [
        "exec",
        "ll",
        "sh",
        "-c",
        "grep -h Cpus_allowed_list /proc/[0-9]*/status | sort -u | wc -l",
    ];
    ensure!(docker.ok(&grep)? == "1", "all of them");
    // A processor that is not there: refused, and what was asked for beside it is set back.
    let ran = docker.run(&[
        "update",
        "-m",
        "80m",
        "--memory-swap",
        "90m",
        "--cpuset-cpus",
        "0-4000",
        "ll",
    ])?;
    ensure!(ran.code != 0, "{ran:?}");
    ensure!(
        memory()? == (64_u64 << 20).to_string(),
        "set back: {}",
        memory()?
    );
    ensure!(cpus()? == "0");
    // Less than is in use is refused by the kernel or reclaimed; the container goes on either way.
    let _ = docker.run(&["update", "-m", "6m", "--memory-swap", "6m", "ll"])?;
    ensure!(docker.ok(&["inspect", "-f", "{{.State.Running}}", "ll"])? == "true");
    node.finish()
}
