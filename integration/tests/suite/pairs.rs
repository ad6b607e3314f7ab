//! Two requests on one object at once: each pair has one answer, whoever comes first.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gantry_integration::{Node, cases, http, wait};

cases![
    a_short_stop_overtakes_a_long_one,
    a_stop_goes_on_without_its_caller,
    a_forced_removal_overtakes_a_stop,
    two_removals_are_one,
    starts_join_and_a_stop_waits_for_them,
    a_removal_during_a_start_wins,
    creations_and_removals_of_one_name,
    a_rename_waits_for_nobody,
    nothing_starts_while_it_goes
];

const LIMIT: Duration = Duration::from_secs(20);

/// Sends a request beside the test; its answer is the status.
fn beside(socket: &Path, method: &'static str, path: &str) -> JoinHandle<Result<u16>> {
    let (socket, path) = (socket.to_owned(), path.to_owned());
    std::thread::spawn(move || status(&socket, method, &path))
}

fn status(socket: &Path, method: &str, path: &str) -> Result<u16> {
    Ok(http::request(socket, method, path, "application/json", b"")?.status)
}

fn joined(request: JoinHandle<Result<u16>>) -> Result<u16> {
    request.join().expect("the request's thread")
}

/// A node with a container that does not end when it is told to.
fn deaf() -> Result<(Node, PathBuf)> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let script = "trap '' TERM; echo deaf; while :; do sleep 1; done";
    docker.ok(&["run", "-d", "--name", "deaf", "busybox", "sh", "-c", script])?;
    wait::until("its first word", LIMIT, || {
        docker.ok(&["logs", "deaf"]).is_ok_and(|log| log == "deaf")
    })?;
    let socket = node.socket("docker");
    Ok((node, socket))
}

/// Waits until an operation of that kind is in progress.
fn in_progress(node: &Node, what: &str) -> Result<()> {
    let doing = || {
        node.gantry(&["ops"])
            .is_ok_and(|ops| ops.out.contains(what))
    };
    wait::until(what, LIMIT, doing)
}

fn a_short_stop_overtakes_a_long_one() -> Result<()> {
    let (node, socket) = deaf()?;
    let begun = Instant::now();
    let long = beside(&socket, "POST", "/containers/deaf/stop?t=300");
    in_progress(&node, "stop container")?;
    let short = status(&socket, "POST", "/containers/deaf/stop?t=0")?;
    ensure!((short, joined(long)?) == (204, 204));
    ensure!(
        begun.elapsed() < Duration::from_secs(60),
        "nobody waited 300 s"
    );
    ensure!(status(&socket, "POST", "/containers/deaf/stop?t=0")? == 304);
    node.finish()
}

fn a_stop_goes_on_without_its_caller() -> Result<()> {
    let (node, socket) = deaf()?;
    let mut caller = UnixStream::connect(&socket)?;
    caller.write_all(
        b"POST /containers/deaf/stop?t=1 HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
    )?;
    in_progress(&node, "stop container")?;
    drop(caller);
    let docker = node.docker();
    wait::until("it to be stopped", LIMIT, || {
        docker
            .ok(&[
                "inspect",
                "-f",
                "{{.State.Status}} {{.State.ExitCode}}",
                "deaf",
            ])
            .is_ok_and(|state| state == "exited 137")
    })?;
    node.finish()
}

fn a_forced_removal_overtakes_a_stop() -> Result<()> {
    let (node, socket) = deaf()?;
    let stop = beside(&socket, "POST", "/containers/deaf/stop?t=300");
    in_progress(&node, "stop container")?;
    ensure!(
        status(&socket, "DELETE", "/containers/deaf")? == 409,
        "it runs"
    );
    ensure!(status(&socket, "DELETE", "/containers/deaf?force=1")? == 204);
    ensure!(joined(stop)? == 204, "it was stopped, after all");
    ensure!(status(&socket, "POST", "/containers/deaf/start")? == 404);
    ensure!(status(&socket, "DELETE", "/containers/deaf?force=1")? == 404);
    node.finish()
}

fn two_removals_are_one() -> Result<()> {
    let (node, socket) = deaf()?;
    let both: Vec<_> = (0..4)
        .map(|_| beside(&socket, "DELETE", "/containers/deaf?force=1"))
        .collect();
    let mut answers = both.into_iter().map(joined).collect::<Result<Vec<_>>>()?;
    answers.sort_unstable();
    // Who comes while it goes joins; who comes after it has gone finds nothing.
    ensure!(
        answers[0] == 204 && answers.iter().all(|code| matches!(code, 204 | 404)),
        "{answers:?}"
    );
    node.finish()
}

fn starts_join_and_a_stop_waits_for_them() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let socket = node.socket("docker");
    node.docker()
        .ok(&["create", "--name", "both", "busybox", "sleep", "1000"])?;
    for _ in 0..5 {
        let starts: Vec<_> = (0..3)
            .map(|_| beside(&socket, "POST", "/containers/both/start"))
            .collect();
        in_progress_or_done(&node)?;
        let stop = status(&socket, "POST", "/containers/both/stop?t=0")?;
        for start in starts {
            let start = joined(start)?;
            ensure!(matches!(start, 204 | 304), "a start answered {start}");
        }
        ensure!(matches!(stop, 204 | 304), "a stop answered {stop}");
        status(&socket, "POST", "/containers/both/stop?t=0")?;
        let state = node
            .docker()
            .ok(&["inspect", "-f", "{{.State.Status}}", "both"])?;
        ensure!(state == "exited", "it is {state}");
    }
    node.finish()
}

fn in_progress_or_done(node: &Node) -> Result<()> {
    let docker = node.docker();
    wait::until("a start", LIMIT, || {
        node.gantry(&["ops"])
            .is_ok_and(|ops| ops.out.contains("start container"))
            || docker
                .ok(&["inspect", "-f", "{{.State.Status}}", "both"])
                .is_ok_and(|state| state == "running")
    })
}

fn a_removal_during_a_start_wins() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let socket = node.socket("docker");
    for round in 0..5 {
        let name = format!("brief{round}");
        node.docker().ok(&[
            "create", "--name", &name, "-p", "80", "busybox", "sleep", "1000",
        ])?;
        let start = beside(&socket, "POST", &format!("/containers/{name}/start"));
        let removed = status(&socket, "DELETE", &format!("/containers/{name}?force=1"))?;
        let started = joined(start)?;
        ensure!(removed == 204, "the removal answered {removed}");
        // Done before, cancelled by it, refused as it goes, or gone.
        ensure!(
            matches!(started, 204 | 404 | 409 | 500),
            "the start answered {started}"
        );
        let path = format!("/containers/{name}/json");
        ensure!(status(&socket, "GET", &path)? == 404);
    }
    node.finish()
}

fn creations_and_removals_of_one_name() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let socket = node.socket("docker");
    let body = br#"{"Image":"busybox","Cmd":["true"],"Volumes":{"/v":{}}}"#;
    let create = |socket: PathBuf| {
        std::thread::spawn(move || -> Result<u16> {
            let path = "/containers/create?name=same";
            Ok(http::request(&socket, "POST", path, "application/json", body)?.status)
        })
    };
    for _ in 0..8 {
        let creations: Vec<_> = (0..3).map(|_| create(socket.clone())).collect();
        let removals: Vec<_> = (0..3)
            .map(|_| beside(&socket, "DELETE", "/containers/same?v=1"))
            .collect();
        for creation in creations {
            let code = joined(creation)?;
            ensure!(matches!(code, 201 | 409), "a creation answered {code}");
        }
        for removal in removals {
            let code = joined(removal)?;
            ensure!(matches!(code, 204 | 404 | 409), "a removal answered {code}");
        }
    }
    status(&socket, "DELETE", "/containers/same?v=1")?;
    let docker = node.docker();
    ensure!(docker.ok(&["ps", "-aq"])?.is_empty());
    ensure!(
        docker.ok(&["volume", "ls", "-q"])?.is_empty(),
        "anonymous volumes went too"
    );
    node.finish()
}

fn a_rename_waits_for_nobody() -> Result<()> {
    let (node, socket) = deaf()?;
    let stop = beside(&socket, "POST", "/containers/deaf/stop?t=300");
    in_progress(&node, "stop container")?;
    ensure!(status(&socket, "POST", "/containers/deaf/rename?name=other")? == 204);
    ensure!(status(&socket, "GET", "/containers/deaf/json")? == 404);
    ensure!(status(&socket, "POST", "/containers/other/stop?t=0")? == 204);
    ensure!(joined(stop)? == 204);
    let state = node
        .docker()
        .ok(&["inspect", "-f", "{{.Name}} {{.State.Status}}", "other"])?;
    ensure!(state == "/other exited", "{state}");
    node.finish()
}

fn nothing_starts_while_it_goes() -> Result<()> {
    let (node, socket) = deaf()?;
    let removal = beside(&socket, "DELETE", "/containers/deaf?force=1");
    let mut answers = Vec::new();
    while !removal.is_finished() {
        answers.push(status(&socket, "POST", "/containers/deaf/start")?);
    }
    ensure!(joined(removal)? == 204);
    // It ran already, it is marked for removal, or it is gone.
    ensure!(
        answers.iter().all(|code| matches!(code, 304 | 409 | 404)),
        "{answers:?}"
    );
    node.finish()
}
