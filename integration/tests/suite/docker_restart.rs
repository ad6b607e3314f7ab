//! Restart policies, `--rm` and what becomes of both when gantryd is killed, with the real docker command.

use std::time::Duration;

use anyhow::{Result, ensure};
use gantry_integration::docker::Docker;
use gantry_integration::{Node, cases, wait};

cases![
    on_failure_stops_after_its_count,
    always_goes_on_until_it_is_stopped,
    what_a_user_has_stopped_stays_stopped,
    policies_are_checked,
    a_back_off_goes_on_after_the_daemon_was_killed,
    exits_without_a_daemon_are_acted_on,
    rm_outlives_a_restart_and_the_daemon,
];

const LIMIT: Duration = Duration::from_secs(20);

fn field(docker: &Docker, name: &str, what: &str) -> Result<String> {
    docker.ok(&["inspect", "-f", &format!("{{{{{what}}}}}"), name])
}

fn count(docker: &Docker, name: &str) -> u32 {
    let text = field(docker, name, ".RestartCount").unwrap_or_default();
    text.parse().unwrap_or(0)
}

/// What happened to a container so far.
fn events(docker: &Docker, name: &str, action: &str) -> Result<usize> {
    let now = docker.ok(&["info", "--format", "{{.SystemTime}}"])?;
    let filters = [format!("container={name}"), format!("event={action}")];
    let lines = docker.ok(&[
        "events",
        "--until",
        &now,
        "--filter",
        &filters[0],
        "--filter",
        &filters[1],
        "--format",
        "{{.Action}}",
    ])?;
    Ok(lines.lines().count())
}

fn on_failure_stops_after_its_count() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--restart",
        "on-failure:2",
        "--name",
        "ff",
        "busybox",
        "sh",
        "-c",
        "exit 3",
    ])?;
    let done = || {
        let state = field(&docker, "ff", ".State.Status");
        count(&docker, "ff") == 2 && state.is_ok_and(|state| state == "exited")
    };
    wait::until("the second restart to fail", LIMIT, done)?;
    ensure!(field(&docker, "ff", ".State.ExitCode")? == "3");
    ensure!(
        field(&docker, "ff", ".HostConfig.RestartPolicy.Name")? == "on-failure"
            && field(&docker, "ff", ".HostConfig.RestartPolicy.MaximumRetryCount")? == "2"
    );
    ensure!(events(&docker, "ff", "start")? == 3 && events(&docker, "ff", "die")? == 3);
    // A user's start counts from the beginning.
    docker.ok(&["start", "ff"])?;
    let again = || events(&docker, "ff", "die").is_ok_and(|n| n == 6) && done();
    wait::until("two more restarts", LIMIT, again)?;
    // No failure, no restart.
    docker.ok(&[
        "run",
        "--restart",
        "on-failure",
        "--name",
        "good",
        "busybox",
        "true",
    ])?;
    ensure!(field(&docker, "good", ".State.Status")? == "exited");
    ensure!(count(&docker, "good") == 0);
    node.finish()
}

fn always_goes_on_until_it_is_stopped() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--restart",
        "always",
        "--name",
        "aa",
        "busybox",
        "sh",
        "-c",
        "echo run; exit 7",
    ])?;
    wait::until("some restarts", LIMIT, || count(&docker, "aa") >= 4)?;
    // Between two runs it is shown as restarting, and runs to `docker ps`.
    let shown = || {
        docker
            .ok(&[
                "ps",
                "--filter",
                "status=restarting",
                "--format",
                "{{.Names}} {{.Status}}",
            ])
            .unwrap_or_default()
    };
    let line = wait::some("it to be restarting", LIMIT, || {
        Some(shown()).filter(|line| line.starts_with("aa Restarting (7) "))
    })?;
    ensure!(line.ends_with(" ago"), "{line}");
    // What dockerd refuses while it waits; the back-off is seconds long by now or the run is on: both are refusals.
    wait::until("a long back-off", LIMIT, || count(&docker, "aa") >= 6)?;
    wait::until("it to be restarting", LIMIT, || !shown().is_empty())?;
    let state =
        field(&docker, "aa", ".State.Running")? + &field(&docker, "aa", ".State.Restarting")?;
    ensure!(state == "truetrue", "{state}");
    for (verb, words) in [
        (
            "rm",
            "container is restarting: stop the container before removing",
        ),
        (
            "pause",
            "is restarting, wait until the container is running",
        ),
        ("top", "is restarting, wait until the container is running"),
        ("exec", "is restarting, wait until the container is running"),
    ] {
        let more: &[&str] = if verb == "exec" { &["true"] } else { &[] };
        let ran = docker.run(&[&[verb, "aa"], more].concat())?;
        ensure!(ran.code != 0 && ran.err.contains(words), "{verb}: {ran:?}");
    }
    docker.ok(&["stop", "aa"])?;
    let stopped = count(&docker, "aa");
    ensure!(field(&docker, "aa", ".State.Status")? == "exited");
    ensure!(!docker.ok(&["logs", "aa"])?.is_empty());
    docker.ok(&["start", "aa"])?;
    wait::until("it to go on", LIMIT, || count(&docker, "aa") >= 1)?;
    ensure!(stopped >= 6);
    docker.ok(&["rm", "-f", "aa"])?;
    ensure!(docker.run(&["inspect", "aa"])?.code == 1);
    node.finish()
}

fn what_a_user_has_stopped_stays_stopped() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    for (policy, end) in [("always", "stop"), ("unless-stopped", "kill")] {
        docker.ok(&[
            "run",
            "-d",
            "--restart",
            policy,
            "--name",
            policy,
            "busybox",
            "sh",
            "-c",
            "trap 'exit 1' TERM; while :; do sleep 0.1; done",
        ])?;
        docker.ok(&[end, policy])?;
        wait::until("its end", LIMIT, || {
            field(&docker, policy, ".State.Status").is_ok_and(|state| state == "exited")
        })?;
    }
    // One that nobody stopped, to know that the next daemon has looked.
    docker.ok(&[
        "run",
        "-d",
        "--restart",
        "always",
        "-v",
        "vv:/v",
        "--name",
        "other",
        "busybox",
        "sh",
        "-c",
        "while [ ! -e /v/end ]; do sleep 0.1; done; rm /v/end",
    ])?;
    for _ in 0..2 {
        node.kill()?;
        std::fs::write(node.root().join("volumes/local/vv/_data/end"), "")?;
        node.restart()?;
        wait::until("the other one to be restarted", LIMIT, || {
            count(&docker, "other") >= 1
                && field(&docker, "other", ".State.Status").is_ok_and(|state| state == "running")
        })?;
        for name in ["always", "unless-stopped"] {
            ensure!(field(&docker, name, ".State.Status")? == "exited", "{name}");
            ensure!(
                events(&docker, name, "start")? == 1,
                "{name} was started again"
            );
        }
    }
    node.finish()
}

fn policies_are_checked() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    for (config, words) in [
        (
            r#"{"RestartPolicy": {"Name": "sometimes"}}"#,
            "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        (
            r#"{"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}}"#,
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        (
            r#"{"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -1}}"#,
            "invalid restart policy: maximum retry count cannot be negative",
        ),
        (
            r#"{"RestartPolicy": {"Name": "always"}, "AutoRemove": true}"#,
            "can't create 'AutoRemove' container with restart policy",
        ),
    ] {
        let body = format!(r#"{{"Image": "busybox", "HostConfig": {config}}}"#);
        let answer = node.api("POST", "/v1.50/containers/create", body.as_bytes())?;
        ensure!(
            answer.status == 400 && answer.json()["message"] == words,
            "{answer:?}"
        );
    }
    node.finish()
}

fn a_back_off_goes_on_after_the_daemon_was_killed() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--restart",
        "unless-stopped",
        "--name",
        "bb",
        "busybox",
        "false",
    ])?;
    let restarting =
        || field(&docker, "bb", ".State.Restarting").is_ok_and(|restarting| restarting == "true");
    // The back-off is more than three seconds then.
    wait::until("a long back-off", LIMIT, || {
        count(&docker, "bb") >= 6 && restarting()
    })?;
    let before = count(&docker, "bb");
    node.kill()?;
    node.restart()?;
    ensure!(count(&docker, "bb") >= before, "the count is kept");
    wait::until("the next restart", LIMIT, || count(&docker, "bb") > before)?;
    docker.ok(&["stop", "bb"])?;
    ensure!(field(&docker, "bb", ".State.Status")? == "exited");
    node.finish()
}

fn exits_without_a_daemon_are_acted_on() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let script = "rm -f /v/end; while [ ! -e /v/end ]; do sleep 0.1; done; exit 5";
    for (name, options) in [
        ("again", &["--restart", "on-failure:5"][..]),
        ("once", &["--restart", "no"]),
        ("gone", &["--rm"]),
    ] {
        let volume = format!("{name}:/v");
        let mut args = vec!["run", "-d", "--name", name, "-v", &volume];
        args.extend(options);
        args.extend(["busybox", "sh", "-c", script]);
        docker.ok(&args)?;
    }
    let pids: Vec<String> = ["again", "once", "gone"]
        .iter()
        .map(|name| field(&docker, name, ".State.Pid"))
        .collect::<Result<_>>()?;
    node.kill()?;
    for name in ["again", "once", "gone"] {
        std::fs::write(
            node.root().join(format!("volumes/local/{name}/_data/end")),
            "",
        )?;
    }
    wait::until("them to end", LIMIT, || {
        pids.iter()
            .all(|pid| !std::path::Path::new("/proc").join(pid).is_dir())
    })?;
    node.restart()?;
    wait::until("the restart", LIMIT, || {
        count(&docker, "again") == 1
            && field(&docker, "again", ".State.Status").is_ok_and(|state| state == "running")
    })?;
    ensure!(field(&docker, "again", ".State.Pid")? != pids[0]);
    ensure!(field(&docker, "once", ".State.ExitCode")? == "5");
    wait::until("--rm to be done", LIMIT, || {
        docker
            .run(&["container", "inspect", "gone"])
            .is_ok_and(|ran| ran.code == 1)
    })?;
    node.finish()
}

fn rm_outlives_a_restart_and_the_daemon() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let id = docker.ok(&[
        "run",
        "-d",
        "--rm",
        "--name",
        "rr",
        "-v",
        "/anonymous",
        "busybox",
        "sleep",
        "1000",
    ])?;
    let pid = field(&docker, "rr", ".State.Pid")?;
    docker.ok(&["restart", "-t", "0", "rr"])?;
    ensure!(field(&docker, "rr", ".Id")? == id, "a restart keeps it");
    ensure!(field(&docker, "rr", ".State.Pid")? != pid);
    ensure!(events(&docker, "rr", "restart")? == 1 && events(&docker, "rr", "destroy")? == 0);
    node.kill()?;
    node.restart()?;
    docker.ok(&["restart", "-t", "0", "rr"])?;
    ensure!(field(&docker, "rr", ".State.Status")? == "running");
    let waiter = docker.live(&["wait", "rr"])?;
    docker.ok(&["stop", "-t", "0", "rr"])?;
    ensure!(waiter.end()?.out == "137\n");
    wait::until("--rm to be done", LIMIT, || {
        docker
            .run(&["inspect", "rr"])
            .is_ok_and(|ran| ran.code == 1)
    })?;
    wait::until("its volume to go", LIMIT, || {
        docker
            .ok(&["volume", "ls", "-q"])
            .is_ok_and(|volumes| volumes.is_empty())
    })?;
    node.finish()
}
