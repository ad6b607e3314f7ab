//! Clients that go away without a word, many of them: what they started ends, and nothing of it stays with the
//! supervisor or the daemon.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1;
use gantry_integration::http::{self, Open};
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri, leaks, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

cases![
    execs_end_when_their_clients_vanish,
    an_exec_ends_whose_client_vanished_before_the_answer,
    clients_that_vanish_leave_no_descriptor,
    calls_given_up_leave_nothing_running,
];

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
const LIMIT: Duration = Duration::from_secs(30);
const NOTICED: Duration = Duration::from_secs(3);

/// Makes an exec with all streams.
fn made(node: &Node, command: &str, tty: bool) -> Result<String> {
    let body = format!(
        r#"{{"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"Tty":{tty},"Cmd":{command}}}"#
    );
    let made = node.api("POST", "/containers/cc/exec", body.as_bytes())?;
    ensure!(made.status == 201, "{made:?}");
    let made = made.json();
    Ok(made["Id"].as_str().context("no id")?.to_owned())
}

/// Makes an exec and starts it, taken over.
fn exec(node: &Node, command: &str, tty: bool) -> Result<Open> {
    let id = made(node, command, tty)?;
    let start = format!(r#"{{"Detach":false,"Tty":{tty}}}"#);
    let path = format!("/exec/{id}/start");
    let docker = node.socket("docker");
    let open = http::open(&docker, "POST", &path, UPGRADE, start.as_bytes())?;
    ensure!(open.status == 101, "{open:?}");
    Ok(open)
}

/// The only supervisor.
fn supervisor(node: &Node) -> Result<i32> {
    let all = leaks::processes_of(&node.dir().display().to_string());
    let mut shims = all.iter().filter(|(_, line)| line.contains("gantry-shim"));
    Ok(shims.next().context("no supervisor")?.0)
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What a supervisor's children run, but for the container's own process.
fn execs(supervisor: i32) -> Vec<String> {
    let path = format!("/proc/{supervisor}/task/{supervisor}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let line = |child| fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
    let lines = children
        .split_whitespace()
        .map(|child| String::from_utf8_lossy(&line(child)).replace('\0', " "));
    lines.filter(|line| !line.contains("sleep 4000")).collect()
}

/// A container, its supervisor, and how many descriptors that has.
fn container(node: &Node) -> Result<(i32, usize)> {
    node.load_busybox()?;
    node.docker()
        .ok(&["run", "-di", "--name", "cc", "busybox", "sleep", "4000"])?;
    let pid = supervisor(node)?;
    wait::until("the supervisor to rest", LIMIT, || execs(pid).is_empty())?;
    Ok((pid, descriptors(pid)))
}

/// Waits until the supervisor is as it was.
fn as_before(what: &str, pid: i32, before: usize) -> Result<()> {
    let rest = wait::until(what, LIMIT, || {
        execs(pid).is_empty() && descriptors(pid) <= before
    });
    rest.with_context(|| {
        let (now, left) = (descriptors(pid), execs(pid));
        format!("{before} descriptors before, {now} now, and {left:?} run")
    })
}

fn execs_end_when_their_clients_vanish() -> Result<()> {
    let node = Node::start()?;
    let (pid, before) = container(&node)?;
    for round in 0..20 {
        for tty in [false, false, false, false, false, true] {
            drop(exec(&node, r#"["cat"]"#, tty)?);
        }
        as_before(&format!("round {round} of execs to end"), pid, before)?;
    }
    node.finish()
}

/// A process's sockets, by number.
fn sockets(pid: u32) -> BTreeSet<PathBuf> {
    let Ok(all) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return BTreeSet::new();
    };
    all.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter(|to| to.to_string_lossy().starts_with("socket:"))
        .collect()
}

/// Sends a request and goes away without its answer; returns when the daemon has had time to notice: twice a second it
/// looks whether who waits is still there.
fn ask_and_go(node: &Node, request: &str) -> Result<()> {
    let before = sockets(node.pid());
    let new = || &sockets(node.pid()) - &before;
    let mut client = UnixStream::connect(node.socket("docker"))?;
    client.write_all(request.as_bytes())?;
    wait::until("the connection", LIMIT, || !new().is_empty())?;
    drop(client);
    // It may keep the connection as long as the request takes, or let go of it.
    let _ = wait::until("the connection to go", NOTICED, || new().is_empty());
    Ok(())
}

fn an_exec_ends_whose_client_vanished_before_the_answer() -> Result<()> {
    let node = Node::start()?;
    let (pid, before) = container(&node)?;
    let supervisor = Pid::from_raw(pid);
    for tty in [false, true] {
        let id = made(&node, r#"["cat"]"#, tty)?;
        let body = format!(r#"{{"Detach":false,"Tty":{tty}}}"#);
        let request = format!(
            "POST /exec/{id}/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{UPGRADE}\r\n{body}",
            body.len()
        );
        // The answer takes as long as the supervisor is kept from working.
        kill(supervisor, Signal::SIGSTOP)?;
        let gone = ask_and_go(&node, &request);
        kill(supervisor, Signal::SIGCONT)?;
        gone?;
        let path = format!("/exec/{id}/json");
        wait::until("the exec to have run", LIMIT, || {
            let state = node.api("GET", &path, b"").map(|answer| answer.json());
            state.is_ok_and(|state| !state["ExitCode"].is_null())
        })?;
        as_before("an exec nobody waits for to end", pid, before)?;
    }
    node.finish()
}

fn clients_that_vanish_leave_no_descriptor() -> Result<()> {
    let node = Node::start()?;
    let (pid, before) = container(&node)?;
    let path = "/containers/cc/attach?stream=1&stdin=1&stdout=1&stderr=1";
    for _ in 0..10 {
        for speaks in [false, true] {
            let docker = node.socket("docker");
            let mut open = http::open(&docker, "POST", path, UPGRADE, b"")?;
            ensure!(open.status == 101, "{open:?}");
            let mut exec = exec(
                &node,
                r#"["sh","-c","echo a; sleep 0.1; cat; echo b"]"#,
                speaks,
            )?;
            if speaks {
                let _ = open.stream.write_all(b"hello\n");
                let _ = exec.stream.write_all(b"hello\n");
            }
        }
        // Detached: it has no client from the beginning, and ends by itself.
        node.docker().ok(&["exec", "-d", "cc", "true"])?;
    }
    as_before("attachments and execs to end", pid, before)?;
    node.finish()
}

fn calls_given_up_leave_nothing_running() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let api = node.cri()?;
    let config = cri::pod("vanish", "");
    let pod = api.run_pod(config.clone())?;
    let made = api.create(
        &pod,
        cri::container("one", BUSYBOX, &["sleep", "4000"]),
        config,
    )?;
    api.start(&made)?;
    let pid = supervisor(&node)?;
    let before = descriptors(pid);
    for round in 0..20_u64 {
        let request = v1::ExecSyncRequest {
            container_id: made.clone(),
            cmd: ["sleep", "1"].map(str::to_owned).to_vec(),
            timeout: 20,
        };
        let mut runtime = api.runtime();
        let answer = api.wait(async move {
            let patience = Duration::from_millis(round * 3);
            let answer = tokio::time::timeout(patience, runtime.exec_sync(request)).await;
            answer.unwrap_or_else(|_| Err(tonic::Status::cancelled("given up")))
        });
        ensure!(answer.is_err(), "{answer:?}");
    }
    as_before("execs whose caller has gone to end", pid, before)?;
    node.finish()
}
