//! `kill -9` of gantryd: containers go on, and the next gantryd knows what happened meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1::ContainerState;
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri, wait, web};

cases![
    a_container_outlives_the_daemon,
    an_exit_while_down_is_reported,
    a_pod_outlives_the_daemon,
    the_daemon_can_be_killed_at_any_moment,
    term_leaves_containers_running,
];

/// Prints a number ten times a second; ends with 23 when a file appears in the volume.
const COUNTER: &str = "httpd -h /var/www; i=0; while [ ! -e /v/end ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 23";

/// Numbers from 0 without a hole.
fn whole(log: &str) -> Result<usize> {
    for (at, line) in log.lines().enumerate() {
        ensure!(line == at.to_string(), "line {at} of the log is {line:?}");
    }
    Ok(log.lines().count())
}

fn a_container_outlives_the_daemon() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let id = docker.ok(&[
        "run", "-d", "--name", "cc", "-v", "vv:/v", "-p", "8080:80", "busybox", "sh", "-c", COUNTER,
    ])?;
    web::get_when_up(&node.net, "127.0.0.1:8080")?;
    let pid = docker.ok(&["inspect", "-f", "{{.State.Pid}}", "cc"])?;
    for _ in 0..3 {
        let before = whole(&docker.ok(&["logs", "cc"])?)?;
        node.kill()?;
        ensure!(
            web::get(&node.net, "127.0.0.1:8080")?.contains("hello"),
            "served without a daemon"
        );
        node.restart()?;
        ensure!(
            docker.ok(&["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "cc"])?
                == format!("running {pid}")
        );
        wait::until("the log to go on", Duration::from_secs(5), || {
            docker
                .ok(&["logs", "cc"])
                .is_ok_and(|l| l.lines().count() > before + 2)
        })?;
        whole(&docker.ok(&["logs", "cc"])?)?;
        ensure!(web::get(&node.net, "127.0.0.1:8080")?.contains("hello"));
    }
    ensure!(
        docker.ok(&["exec", "cc", "echo", "hi"])? == "hi",
        "exec works after a restart"
    );
    // The port is still taken, the address is not given away, and stop works.
    let ran = docker.run(&["run", "--rm", "-p", "8080:80", "busybox", "true"])?;
    ensure!(ran.code == 125, "{ran:?}");
    docker.ok(&["exec", "cc", "touch", "/v/end"])?;
    ensure!(docker.ok(&["wait", "cc"])? == "23");
    ensure!(docker.ok(&["ps", "-aq", "--no-trunc"])? == id);
    node.finish()
}

fn an_exit_while_down_is_reported() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run", "-d", "--name", "cc", "-v", "vv:/v", "busybox", "sh", "-c", COUNTER,
    ])?;
    docker.ok(&[
        "run", "-d", "--rm", "--name", "gone", "-v", "vv:/v", "busybox", "sh", "-c", COUNTER,
    ])?;
    let pid = docker.ok(&["inspect", "-f", "{{.State.Pid}}", "cc"])?;
    node.kill()?;
    std::fs::write(node.root().join("volumes/local/vv/_data/end"), "")?;
    wait::until("the container to end", Duration::from_secs(5), || {
        !std::path::Path::new("/proc").join(&pid).is_dir()
    })?;
    node.restart()?;
    // Its process is gone a moment before its last output is read and its exit written down.
    ensure!(docker.ok(&["wait", "cc"])? == "23");
    ensure!(
        docker.ok(&[
            "inspect",
            "-f",
            "{{.State.Status}} {{.State.ExitCode}}",
            "cc"
        ])? == "exited 23"
    );
    whole(&docker.ok(&["logs", "cc"])?)?;
    wait::until(
        "--rm to be done by the next daemon",
        Duration::from_secs(5),
        || docker.run(&["inspect", "gone"]).is_ok_and(|r| r.code == 1),
    )?;
    let now = docker.ok(&["info", "--format", "{{.SystemTime}}"])?;
    let events = docker.ok(&[
        "events",
        "--since",
        "10m",
        "--until",
        &now,
        "--filter",
        "container=cc",
        "--format",
        "{{.Action}} {{.Actor.Attributes.exitCode}}",
    ])?;
    ensure!(events.contains("die 23"), "{events}");
    // It can be started again.
    docker.ok(&["run", "--rm", "-v", "vv:/v", "busybox", "rm", "/v/end"])?;
    docker.ok(&["start", "cc"])?;
    node.finish()
}

fn a_pod_outlives_the_daemon() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let logs = node.dir().join("logs");
    let volume = node.dir().join("v");
    std::fs::create_dir_all(&logs)?;
    std::fs::create_dir_all(&volume)?;
    let api = node.cri()?;
    let config = cri::pod("p", &logs.display().to_string());
    let pod = api.run_pod(config.clone())?;
    let mut counter = cri::container("c", BUSYBOX, &["sh", "-c", COUNTER]);
    counter.mounts.push(gantry_cri_api::v1::Mount {
        container_path: "/v".into(),
        host_path: volume.display().to_string(),
        ..Default::default()
    });
    let id = api.create(&pod, counter, config)?;
    api.start(&id)?;
    let ip = pod_ip(&api, &pod)?;
    web::get_when_up(&node.net, &format!("{ip}:80"))?;
    let log = || std::fs::read_to_string(logs.join("c.log")).unwrap_or_default();
    node.kill()?;
    let before = log().lines().count();
    wait::until(
        "the log to go on without a daemon",
        Duration::from_secs(5),
        || log().lines().count() > before + 2,
    )?;
    ensure!(web::get(&node.net, &format!("{ip}:80"))?.contains("hello"));
    node.restart()?;
    let api = node.cri()?;
    ensure!(api.status(&id)?.state() == ContainerState::ContainerRunning);
    ensure!(pod_ip(&api, &pod)? == ip);
    ensure!(api.exec(&id, &["echo", "hi"], 5)?.stdout == b"hi\n");
    node.kill()?;
    std::fs::write(volume.join("end"), "")?;
    let ended = || log().lines().count();
    let mut last = ended();
    wait::until(
        "the container to fall silent",
        Duration::from_secs(10),
        || {
            let now = ended();
            let silent = now == last && web::get(&node.net, &format!("{ip}:80")).is_err();
            last = now;
            silent
        },
    )?;
    node.restart()?;
    let api = node.cri()?;
    // The supervisor may be on its way to say so; it is a matter of moments.
    let status = wait::some("the exit to be told", Duration::from_secs(5), || {
        api.status(&id)
            .ok()
            .filter(|s| s.state() == ContainerState::ContainerExited)
    })?;
    ensure!(status.exit_code == 23, "{status:?}");
    let text: String = log()
        .lines()
        .map(|l| l.splitn(4, ' ').nth(3).unwrap_or("?").to_owned() + "\n")
        .collect();
    whole(&text)?;
    drop(api);
    node.finish()
}

fn pod_ip(api: &cri::Cri, pod: &str) -> Result<String> {
    let request = gantry_cri_api::v1::PodSandboxStatusRequest {
        pod_sandbox_id: pod.to_owned(),
        verbose: false,
    };
    let status = api
        .wait(api.runtime().pod_sandbox_status(request))?
        .status
        .context("a status")?;
    Ok(status.network.context("a network")?.ip)
}

fn the_daemon_can_be_killed_at_any_moment() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    // Killed at a different point of `run` each time; whatever was begun must be completed or undone.
    for round in 0..12_u64 {
        let client = docker.live(&[
            "run", "--rm", "-p", "8080:80", "-v", "xx:/x", "busybox", "true",
        ])?;
        let moment = std::time::Instant::now() + Duration::from_millis(25 * round);
        wait::until("the moment", Duration::from_secs(5), || {
            std::time::Instant::now() >= moment
        })?;
        node.kill()?;
        client.end()?;
        node.restart()?;
    }
    // Whatever was created but not started stays, as with any client that went away.
    for id in docker.ok(&["ps", "-aq"])?.lines() {
        docker.ok(&["rm", "-f", id])?;
    }
    docker.ok(&[
        "run", "--rm", "-p", "8080:80", "-v", "xx:/x", "busybox", "true",
    ])?;
    node.finish()
}

fn term_leaves_containers_running() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["run", "-d", "--name", "cc", "busybox", "sleep", "1000"])?;
    let pid = docker.ok(&["inspect", "-f", "{{.State.Pid}}", "cc"])?;
    node.stop()?;
    ensure!(std::path::Path::new("/proc").join(&pid).is_dir());
    node.restart()?;
    ensure!(docker.ok(&["inspect", "-f", "{{.State.Pid}}", "cc"])? == pid);
    node.finish()
}
