//! A container's life through the Docker door: start, stop, kill, wait, rm, logs, exec, attach, events.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gantry_integration::{Node, cases, wait};

cases![
    stop_kill_wait_rm,
    logs_of_every_kind,
    logs_follow_to_the_end,
    exec_runs_beside,
    two_clients_attach,
    events_in_order,
    inspect_and_ps,
];

fn stop_kill_wait_rm() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    // One that ends on TERM, one that does not hear it.
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "good",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 5' TERM; while :; do sleep 0.1; done",
    ])?;
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "deaf",
        "busybox",
        "sh",
        "-c",
        "trap '' TERM; while :; do sleep 0.1; done",
    ])?;
    let waiter = docker.live(&["wait", "good"])?;
    docker.ok(&["stop", "good"])?;
    ensure!(waiter.end()?.out == "5\n");
    let begun = Instant::now();
    docker.ok(&["stop", "-t", "1", "deaf"])?;
    ensure!(
        begun.elapsed() < Duration::from_secs(6),
        "stop took {:?}",
        begun.elapsed()
    );
    ensure!(
        docker.ok(&[
            "inspect",
            "-f",
            "{{.State.ExitCode}} {{.State.Status}}",
            "deaf"
        ])? == "137 exited"
    );
    // A stopped one can be started, killed by a signal of one's choice, and waited for afterwards.
    docker.ok(&["start", "good"])?;
    ensure!(
        docker.run(&["rm", "good"])?.code != 0,
        "a running container is not removed"
    );
    docker.ok(&["kill", "-s", "TERM", "good"])?;
    ensure!(docker.ok(&["wait", "good"])? == "5");
    let ran = docker.run(&["kill", "good"])?;
    ensure!(ran.code != 0 && ran.err.contains("not running"), "{ran:?}");
    docker.ok(&["rm", "good"])?;
    docker.ok(&["start", "deaf"])?;
    docker.ok(&["rm", "-f", "deaf"])?;
    let ran = docker.run(&["inspect", "deaf"])?;
    ensure!(ran.code == 1 && ran.err.contains("deaf"), "{ran:?}");
    node.finish()
}

fn logs_of_every_kind() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "--name",
        "ll",
        "busybox",
        "sh",
        "-c",
        "for i in 1 2 3 4 5; do echo out$i; done; echo err >&2; printf unfinished",
    ])?;
    let ran = docker.run(&["logs", "ll"])?;
    ensure!(
        ran.out == "out1\nout2\nout3\nout4\nout5\nunfinished",
        "{ran:?}"
    );
    ensure!(ran.err == "err\n", "{ran:?}");
    ensure!(
        docker
            .ok(&["logs", "--tail", "2", "ll"])?
            .ends_with("unfinished")
    );
    ensure!(docker.run(&["logs", "--tail", "0", "ll"])?.out.is_empty());
    let stamped = docker.ok(&["logs", "-t", "ll"])?;
    let (stamp, text) = stamped
        .lines()
        .next()
        .and_then(|l| l.split_once(' '))
        .context("a stamped line")?;
    ensure!(
        text == "out1" && stamp.starts_with("20") && stamp.ends_with('Z'),
        "{stamped}"
    );
    let ran = docker.run(&["logs", "nobody"])?;
    ensure!(ran.code == 1 && ran.err.contains("nobody"), "{ran:?}");
    // A line longer than a log record comes back as one line.
    docker.ok(&[
        "run",
        "--name",
        "long",
        "busybox",
        "sh",
        "-c",
        "head -c 100000 /dev/zero | tr '\\0' x; echo",
    ])?;
    ensure!(docker.run(&["logs", "long"])?.out.trim_end().len() == 100_000);
    node.finish()
}

fn logs_follow_to_the_end() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "ff",
        "busybox",
        "sh",
        "-c",
        "i=0; while [ $i -lt 30 ]; do echo $i; i=$((i+1)); sleep 0.05; done",
    ])?;
    let ran = docker.run(&["logs", "-f", "ff"])?;
    let want: String = (0..30).map(|i| format!("{i}\n")).collect();
    ensure!(ran.out == want, "{ran:?}");
    node.finish()
}

fn exec_runs_beside() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run", "-d", "--name", "ee", "-e", "A=1", "busybox", "sleep", "1000",
    ])?;
    ensure!(docker.ok(&["exec", "ee", "sh", "-c", "echo $A; ps | grep -c '[s]leep'"])? == "1\n1");
    ensure!(docker.run(&["exec", "ee", "sh", "-c", "exit 9"])?.code == 9);
    ensure!(
        docker.ok(&[
            "exec",
            "-e",
            "B=2",
            "-w",
            "/tmp",
            "--user",
            "33",
            "ee",
            "sh",
            "-c",
            "echo $B; pwd; id -u"
        ])? == "2\n/tmp\n33"
    );
    let ran = docker.run_with(&["exec", "-i", "ee", "wc", "-c"], &vec![b'y'; 1 << 20])?;
    ensure!(ran.out.trim() == "1048576", "{ran:?}");
    let ran = docker.run(&["exec", "ee", "nothing-like-this"])?;
    ensure!(
        matches!(ran.code, 126 | 127)
            && format!("{}{}", ran.out, ran.err).contains("nothing-like-this"),
        "{ran:?}"
    );
    ensure!(
        docker
            .ok(&["exec", "-t", "ee", "tty"])?
            .contains("/dev/pts/")
    );
    docker.ok(&["exec", "-d", "ee", "sh", "-c", "echo done > /tmp/d"])?;
    wait::until("the detached exec", Duration::from_secs(5), || {
        docker
            .run(&["exec", "ee", "cat", "/tmp/d"])
            .is_ok_and(|r| r.out == "done\n")
    })?;
    // Processes of an exec end with the container.
    let hanging = docker.live(&["exec", "ee", "sleep", "1000"])?;
    wait::until("the exec to run", Duration::from_secs(5), || {
        docker
            .ok(&["exec", "ee", "sh", "-c", "ps | grep -c '[s]leep'"])
            .is_ok_and(|n| n == "2")
    })?;
    docker.ok(&["kill", "ee"])?;
    ensure!(hanging.end()?.code == 137);
    let ran = docker.run(&["exec", "ee", "true"])?;
    ensure!(ran.code == 1 && ran.err.contains("not running"), "{ran:?}");
    node.finish()
}

fn two_clients_attach() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let script = "while ! read -t 1 x; do echo tick; done; echo got $x; exit 4";
    docker.ok(&[
        "run", "-d", "-i", "--name", "aa", "busybox", "sh", "-c", script,
    ])?;
    let mut first = docker.live(&["attach", "aa"])?;
    let second = docker.live(&["attach", "--no-stdin", "aa"])?;
    first.says("tick")?;
    second.says("tick")?;
    first.send("word\n")?;
    for client in [first, second] {
        let ran = client.end()?;
        ensure!(ran.code == 4 && ran.out.ends_with("got word\n"), "{ran:?}");
    }
    node.finish()
}

fn events_in_order() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["create", "--name", "before", "busybox", "true"])?;
    let format = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}";
    let live = docker.live(&[
        "events",
        "--since",
        "10m",
        "--filter",
        "type=container",
        "--format",
        format,
    ])?;
    live.says("create before")?;
    docker.run(&[
        "run", "--rm", "--name", "ev", "busybox", "sh", "-c", "exit 6",
    ])?;
    let end = docker.ok(&["info", "--format", "{{.SystemTime}}"])?;
    let past = docker.ok(&[
        "events",
        "--since",
        "10m",
        "--until",
        &end,
        "--filter",
        "container=ev",
        "--format",
        "{{.Action}}",
    ])?;
    let actions: Vec<&str> = past
        .lines()
        .filter(|l| !l.starts_with("exec") && *l != "attach")
        .collect();
    ensure!(actions == ["create", "start", "die", "destroy"], "{past}");
    live.says("destroy ev")?;
    let said = live.kill()?.out;
    ensure!(said.contains("die ev 6"), "{said}");
    node.finish()
}

fn inspect_and_ps() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let id = docker.ok(&[
        "run", "-d", "--name", "pp", "-p", "8081:80", "busybox", "sleep", "1000",
    ])?;
    ensure!(id.len() == 64, "{id}");
    let line = docker.ok(&[
        "ps",
        "--format",
        "{{.ID}}|{{.Image}}|{{.Command}}|{{.Names}}|{{.State}}|{{.Ports}}",
    ])?;
    ensure!(
        line.starts_with(&format!("{}|busybox|\"sleep 1000\"|pp|running|", &id[..12])),
        "{line}"
    );
    ensure!(line.contains("8081->80/tcp"), "{line}");
    let inspect = |what: &str| docker.ok(&["inspect", "-f", what, "pp"]);
    ensure!(
        inspect("{{.Name}} {{.Config.Image}} {{.State.Status}} {{.State.Running}}")?
            == "/pp busybox running true"
    );
    let pid: u32 = inspect("{{.State.Pid}}")?.parse()?;
    ensure!(std::fs::read_to_string(format!("/proc/{pid}/comm"))?.trim() == "sleep");
    ensure!(!inspect("{{.NetworkSettings.Networks.bridge.IPAddress}}")?.is_empty());
    // By prefix of the id, by name, with a filter.
    for key in [&id[..12], &id[..5], "pp", "/pp"] {
        ensure!(
            docker.ok(&["inspect", "-f", "{{.Id}}", key])? == id,
            "{key}"
        );
    }
    docker.ok(&["stop", "-t", "0", "pp"])?;
    ensure!(docker.ok(&["ps", "-q"])?.is_empty());
    ensure!(docker.ok(&["ps", "-aq", "--no-trunc", "--filter", "status=exited"])? == id);
    ensure!(
        docker
            .ok(&["ps", "-a", "--format", "{{.Status}}"])?
            .starts_with("Exited (137)")
    );
    ensure!(
        inspect("{{.State.Pid}}{{.NetworkSettings.Networks.bridge.IPAddress}}")? == "0",
        "nothing is held by a container that does not run"
    );
    node.finish()
}
