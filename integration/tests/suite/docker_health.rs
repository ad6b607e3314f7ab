//! Health checks with the real docker command.

use std::time::Duration;

use anyhow::{Result, ensure};
use gantry_integration::docker::Docker;
use gantry_integration::{Node, cases, wait};

cases![
    health_follows_the_probe,
    a_start_period_forgives,
    checks_are_checked,
    health_outlives_the_daemon,
];

const LIMIT: Duration = Duration::from_secs(20);

fn field(docker: &Docker, name: &str, what: &str) -> Result<String> {
    docker.ok(&["inspect", "-f", &format!("{{{{{what}}}}}"), name])
}

fn becomes(docker: &Docker, name: &str, status: &str) -> Result<()> {
    wait::until(&format!("{name} to be {status}"), LIMIT, || {
        field(docker, name, ".State.Health.Status").is_ok_and(|is| is == status)
    })
}

fn health_follows_the_probe() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "hh",
        "-v",
        "vv:/v",
        "--health-cmd",
        "echo probed; test -e /v/well",
        "--health-interval",
        "200ms",
        "--health-timeout",
        "5s",
        "--health-retries",
        "3",
        "busybox",
        "sleep",
        "1000",
    ])?;
    ensure!(
        field(&docker, "hh", "json .Config.Healthcheck.Test")?
            == r#"["CMD-SHELL","echo probed; test -e /v/well"]"#
    );
    becomes(&docker, "hh", "unhealthy")?;
    ensure!(field(&docker, "hh", ".State.Health.FailingStreak")?.parse::<u32>()? >= 3);
    let log = field(
        &docker,
        "hh",
        "range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end",
    )?;
    ensure!(log.contains("1 probed"), "{log}");
    ensure!(
        docker
            .ok(&["ps", "--format", "{{.Status}}"])?
            .ends_with(" (unhealthy)")
    );
    docker.ok(&["exec", "hh", "touch", "/v/well"])?;
    becomes(&docker, "hh", "healthy")?;
    ensure!(field(&docker, "hh", ".State.Health.FailingStreak")? == "0");
    ensure!(
        docker
            .ok(&["ps", "--format", "{{.Status}}"])?
            .ends_with(" (healthy)")
    );
    for (health, expected) in [("healthy", 1), ("unhealthy", 0), ("none", 0)] {
        let filter = format!("health={health}");
        let found = docker.ok(&["ps", "-q", "--filter", &filter])?;
        ensure!(found.lines().count() == expected, "{health}: {found}");
    }
    ensure!(field(&docker, "hh", "len .State.Health.Log")?.parse::<u32>()? <= 5);
    let now = docker.ok(&["info", "--format", "{{.SystemTime}}"])?;
    let events = docker.ok(&[
        "events",
        "--until",
        &now,
        "--filter",
        "container=hh",
        "--filter",
        "event=health_status",
        "--format",
        "{{.Action}}",
    ])?;
    ensure!(
        events == "health_status: unhealthy\nhealth_status: healthy",
        "{events}"
    );
    // A container without a check says nothing of health.
    docker.ok(&["run", "-d", "--name", "plain", "busybox", "sleep", "1000"])?;
    ensure!(field(&docker, "plain", "json .State.Health")? == "null");
    ensure!(docker.ok(&["ps", "--filter", "health=none", "--format", "{{.Names}}"])? == "plain");
    node.finish()
}

fn a_start_period_forgives() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "ss",
        "--health-cmd",
        "exit 2",
        "--health-interval",
        "100ms",
        "--health-start-period",
        "1h",
        "--health-start-interval",
        "100ms",
        "--health-retries",
        "1",
        "busybox",
        "sleep",
        "1000",
    ])?;
    wait::until("some probes", LIMIT, || {
        field(&docker, "ss", "len .State.Health.Log").is_ok_and(|n| n == "5")
    })?;
    ensure!(field(&docker, "ss", ".State.Health.Status")? == "starting");
    ensure!(field(&docker, "ss", ".State.Health.FailingStreak")? == "0");
    ensure!(
        docker
            .ok(&["ps", "--format", "{{.Status}}"])?
            .ends_with(" (health: starting)")
    );
    // A probe that takes too long fails.
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "slow",
        "--health-cmd",
        "sleep 1000",
        "--health-interval",
        "100ms",
        "--health-timeout",
        "300ms",
        "--health-retries",
        "1",
        "busybox",
        "sleep",
        "1000",
    ])?;
    becomes(&docker, "slow", "unhealthy")?;
    let log = field(
        &docker,
        "slow",
        "range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end",
    )?;
    ensure!(
        log.starts_with("-1 Health check exceeded timeout (300ms)"),
        "{log}"
    );
    node.finish()
}

fn checks_are_checked() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    for (check, words) in [
        (
            r#"{"Interval": 1}"#,
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (
            r#"{"Timeout": 1}"#,
            "Timeout in Healthcheck cannot be less than 1ms",
        ),
        (
            r#"{"StartPeriod": 1}"#,
            "StartPeriod in Healthcheck cannot be less than 1ms",
        ),
        (
            r#"{"StartInterval": 1}"#,
            "StartInterval in Healthcheck cannot be less than 1ms",
        ),
        (
            r#"{"Retries": -1}"#,
            "Retries in Healthcheck cannot be negative",
        ),
    ] {
        let body = format!(r#"{{"Image": "busybox", "Healthcheck": {check}}}"#);
        let answer = node.api("POST", "/v1.50/containers/create", body.as_bytes())?;
        ensure!(
            answer.status == 400 && answer.json()["message"] == words,
            "{answer:?}"
        );
    }
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "nn",
        "--no-healthcheck",
        "busybox",
        "sleep",
        "1000",
    ])?;
    ensure!(field(&docker, "nn", "json .State.Health")? == "null");
    ensure!(field(&docker, "nn", "json .Config.Healthcheck.Test")? == r#"["NONE"]"#);
    node.finish()
}

fn health_outlives_the_daemon() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "hh",
        "-v",
        "vv:/v",
        "--health-cmd",
        "test ! -e /v/ill",
        "--health-interval",
        "200ms",
        "--health-retries",
        "2",
        "busybox",
        "sleep",
        "1000",
    ])?;
    becomes(&docker, "hh", "healthy")?;
    node.kill()?;
    std::fs::write(node.root().join("volumes/local/vv/_data/ill"), "")?;
    node.restart()?;
    ensure!(
        field(&docker, "hh", ".State.Health.Status")? == "healthy",
        "what was known is known"
    );
    becomes(&docker, "hh", "unhealthy")?;
    node.finish()
}
