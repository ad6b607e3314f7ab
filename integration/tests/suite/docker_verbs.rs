//! rename, update, top, stats, wait, pause and events' filters, with the real docker command.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_integration::docker::Docker;
use gantry_integration::{Node, cases, wait};

cases![
    rename_frees_the_old_name,
    update_reaches_the_cgroup,
    update_of_a_policy_and_of_a_stopped_one,
    top_shows_the_containers_processes,
    stats_are_dockers_figures,
    wait_knows_every_condition,
    pause_and_unpause,
    events_are_filtered,
];

const LIMIT: Duration = Duration::from_secs(20);

fn field(docker: &Docker, name: &str, what: &str) -> Result<String> {
    docker.ok(&["inspect", "-f", &format!("{{{{{what}}}}}"), name])
}

fn rename_frees_the_old_name() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let id = docker.ok(&["run", "-d", "--name", "one", "busybox", "sleep", "1000"])?;
    let other = docker.ok(&["create", "--name", "other", "busybox", "true"])?;
    docker.ok(&["rename", "one", "two"])?;
    ensure!(field(&docker, "two", ".Name")? == "/two");
    ensure!(docker.run(&["inspect", "one"])?.code == 1);
    ensure!(docker.ok(&["ps", "--format", "{{.Names}}"])? == "two");
    for (new, words) in [
        ("two", "Renaming a container with the same name as its current name".to_owned()),
        (
            "other",
            format!(
                "Error when allocating new name: Conflict. The container name \"/other\" is already in use by container \
                 \"{other}\". You have to remove (or rename) that container to be able to reuse that name."
            ),
        ),
        (
            "a b",
            "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
                .to_owned(),
        ),
    ] {
        let ran = docker.run(&["rename", "two", new])?;
        ensure!(ran.code == 1 && ran.err.contains(&words), "{ran:?}");
    }
    let answer = node.api("POST", "/v1.50/containers/two/rename", b"")?;
    ensure!(answer.status == 400, "{answer:?}");
    let answer = node.api("POST", "/v1.50/containers/nobody/rename?name=x", b"")?;
    ensure!(answer.status == 404, "{answer:?}");
    // The old name is free, and the next daemon knows the new one.
    docker.ok(&["rename", "other", "one"])?;
    node.kill()?;
    node.restart()?;
    ensure!(field(&docker, "two", ".Id")? == id && field(&docker, "one", ".Id")? == other);
    let now = docker.ok(&["info", "--format", "{{.SystemTime}}"])?;
    let events = docker.ok(&[
        "events",
        "--until",
        &now,
        "--filter",
        "event=rename",
        "--format",
        "{{.Actor.Attributes.name}} {{.Actor.Attributes.oldName}}",
    ])?;
    ensure!(events == "two /one\none /other", "{events}");
    node.finish()
}

/// A file of one of a process' cgroups: of this v1 controller, or of v2.
fn cgroup(pid: &str, controller: &str, v1: &str, v2: &str) -> Result<String> {
    let lines = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = |wanted: &dyn Fn(&str) -> bool| {
        lines.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            wanted(names).then(|| path.to_owned())
        })
    };
    let file = match path(&|names| names.split(',').any(|name| name == controller)) {
        Some(path) => format!("/sys/fs/cgroup/{controller}{path}/{v1}"),
        None => {
            let path = path(&|names| names.is_empty()).context("a cgroup")?;
            format!("/sys/fs/cgroup{path}/{v2}")
        }
    };
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    Ok(text.trim().to_owned())
}

fn update_reaches_the_cgroup() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "uu",
        "-m",
        "64m",
        "--memory-swap",
        "128m",
        "--pids-limit",
        "40",
        "busybox",
        "sleep",
        "1000",
    ])?;
    let pid = field(&docker, "uu", ".State.Pid")?;
    let limit = || cgroup(&pid, "memory", "memory.limit_in_bytes", "memory.max");
    ensure!(limit()? == (64 << 20).to_string());
    let ran = docker.run(&["update", "-m", "32m", "--pids-limit", "20", "uu"])?;
    ensure!(ran.code == 0 && ran.out == "uu\n", "{ran:?}");
    ensure!(limit()? == (32 << 20).to_string());
    ensure!(cgroup(&pid, "pids", "pids.max", "pids.max")? == "20");
    docker.ok(&["update", "--pids-limit", "-1", "--cpu-shares", "512", "uu"])?;
    ensure!(cgroup(&pid, "pids", "pids.max", "pids.max")? == "max");
    let shares = cgroup(&pid, "cpu", "cpu.shares", "cpu.weight")?;
    ensure!(shares == "512" || shares == "20", "{shares}");
    docker.ok(&["update", "--cpus", "0.5", "uu"])?;
    let quota = cgroup(&pid, "cpu", "cpu.cfs_quota_us", "cpu.max")?;
    ensure!(quota == "50000" || quota == "50000 100000", "{quota}");
    let shown = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuShares}} {{.HostConfig.NanoCpus}}";
    let expected = format!("{} {} 512 500000000", 32 << 20, 128 << 20);
    ensure!(docker.ok(&["inspect", "-f", shown, "uu"])? == expected);
    for (args, words) in [
        (
            &["-m", "256m"][..],
            "update the memoryswap at the same time",
        ),
        (&["-m", "1m"], "Minimum memory limit allowed is 6MB"),
        (
            &["--cpu-quota", "20000"],
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        ),
    ] {
        let mut all = vec!["update"];
        all.extend(args);
        all.push("uu");
        let ran = docker.run(&all)?;
        ensure!(ran.code == 1 && ran.err.contains(words), "{ran:?}");
    }
    ensure!(
        limit()? == (32 << 20).to_string(),
        "what is refused changes nothing"
    );
    // Kept: by the next daemon and the next run.
    node.kill()?;
    node.restart()?;
    docker.ok(&["restart", "-t", "0", "uu"])?;
    let pid = field(&docker, "uu", ".State.Pid")?;
    let limit = cgroup(&pid, "memory", "memory.limit_in_bytes", "memory.max")?;
    ensure!(limit == (32 << 20).to_string(), "{limit}");
    ensure!(docker.ok(&["inspect", "-f", shown, "uu"])? == expected);
    node.finish()
}

fn update_of_a_policy_and_of_a_stopped_one() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker
        .ok(&["run", "--name", "ss", "-m", "64m", "busybox", "false"])
        .err()
        .context("it fails")?;
    docker.ok(&["update", "-m", "32m", "--restart", "on-failure:1", "ss"])?;
    ensure!(field(&docker, "ss", ".HostConfig.RestartPolicy.Name")? == "on-failure");
    ensure!(
        field(&docker, "ss", ".RestartCount")? == "0",
        "an update starts nothing"
    );
    docker.ok(&["start", "ss"])?;
    wait::until("the restart", LIMIT, || {
        field(&docker, "ss", ".RestartCount").is_ok_and(|n| n == "1")
            && field(&docker, "ss", ".State.Status").is_ok_and(|state| state == "exited")
    })?;
    // Taken away while it waits.
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "ww",
        "--restart",
        "always",
        "busybox",
        "false",
    ])?;
    wait::until("some restarts", LIMIT, || {
        field(&docker, "ww", ".RestartCount").is_ok_and(|n| n.parse::<u32>().is_ok_and(|n| n > 3))
    })?;
    docker.ok(&["update", "--restart", "no", "ww"])?;
    wait::until("the end of it", LIMIT, || {
        field(&docker, "ww", ".State.Status").is_ok_and(|state| state == "exited")
    })?;
    docker.ok(&[
        "run", "-d", "--rm", "--name", "rr", "busybox", "sleep", "1000",
    ])?;
    let ran = docker.run(&["update", "--restart", "always", "rr"])?;
    ensure!(
        ran.code == 1
            && ran.err.contains(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            ),
        "{ran:?}"
    );
    let answer = node.api(
        "POST",
        "/v1.50/containers/rr/update",
        br#"{"RestartPolicy": {"Name": "x"}}"#,
    )?;
    ensure!(answer.status == 400, "{answer:?}");
    let answer = node.api(
        "POST",
        "/v1.50/containers/rr/update",
        br#"{"CpuShares": 100}"#,
    )?;
    ensure!(
        answer.status == 200 && answer.json()["Warnings"] == serde_json::json!([]),
        "{answer:?}"
    );
    node.finish()
}

fn top_shows_the_containers_processes() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "tt",
        "busybox",
        "sh",
        "-c",
        "sleep 1000 & sleep 1001; true",
    ])?;
    docker.ok(&["run", "-d", "--name", "other", "busybox", "sleep", "1002"])?;
    let top = |args: &[&str]| {
        let mut all = vec!["top", "tt"];
        all.extend(args);
        docker.run(&all)
    };
    wait::until("its processes", LIMIT, || {
        top(&[]).is_ok_and(|ran| ran.out.contains("sleep 1000") && ran.out.contains("sleep 1001"))
    })?;
    let ran = top(&[])?;
    ensure!(
        ran.out.starts_with("UID") && !ran.out.contains("1002"),
        "{ran:?}"
    );
    ensure!(ran.out.lines().count() == 4, "{ran:?}");
    let pid = field(&docker, "tt", ".State.Pid")?;
    let ran = top(&["-o", "pid,comm"])?;
    ensure!(
        ran.out.split_whitespace().any(|word| word == pid),
        "{ran:?}"
    );
    // An option that does not go together with a selection.
    let ran = top(&["axf", "-o", "pid,args"])?;
    ensure!(
        ran.out.contains("sleep 1000") && !ran.out.contains("1002"),
        "{ran:?}"
    );
    for (args, words) in [
        (&["-o", "comm"][..], "Couldn't find PID field in ps output"),
        (
            &["-o", "comm=PID"],
            "specifying \"comm=PID\" is not allowed",
        ),
        (&["--no-such-option"], "ps: "),
    ] {
        let ran = top(args)?;
        ensure!(ran.code == 1 && ran.err.contains(words), "{ran:?}");
    }
    docker.ok(&["kill", "tt"])?;
    let ran = top(&[])?;
    ensure!(
        ran.code == 1 && ran.err.contains("is not running"),
        "{ran:?}"
    );
    node.finish()
}

fn stats_are_dockers_figures() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "busy",
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "busybox",
        "sh",
        "-c",
        "ping -c 3 127.0.0.1 >/dev/null; while :; do :; done",
    ])?;
    docker.ok(&["create", "--name", "made", "busybox", "true"])?;
    let format =
        "{{.Name}}|{{.CPUPerc}}|{{.MemUsage}}|{{.MemPerc}}|{{.NetIO}}|{{.BlockIO}}|{{.PIDs}}";
    // The bound on CPU use is what it comes to.
    let line = wait::some("it to be busy", LIMIT, || {
        let line = docker
            .ok(&["stats", "--no-stream", "--format", format, "busy"])
            .ok()?;
        let cpu: f64 = line.split('|').nth(1)?.trim_end_matches('%').parse().ok()?;
        (30.0..70.0).contains(&cpu).then_some(line)
    })?;
    let parts: Vec<&str> = line.split('|').collect();
    ensure!(
        parts[0] == "busy" && parts[2].ends_with(" / 64MiB"),
        "{line}"
    );
    ensure!(!parts[2].starts_with("0B") && parts[3] != "0.00%", "{line}");
    ensure!(
        parts[4].contains(" / ") && parts[5].contains(" / "),
        "{line}"
    );
    ensure!(parts[6].parse::<u32>().is_ok_and(|n| n >= 1), "{line}");
    let line = docker.ok(&["stats", "--no-stream", "--format", format, "made"])?;
    ensure!(line.starts_with("made|0.00%|0B / 0B|"), "{line}");
    let answer = node
        .api("GET", "/v1.50/containers/busy/stats?stream=0", b"")?
        .json();
    ensure!(
        answer["name"] == "/busy" && answer["os_type"] == "linux",
        "{answer}"
    );
    ensure!(answer["networks"]["eth0"]["rx_bytes"].is_u64(), "{answer}");
    ensure!(answer["memory_stats"]["limit"] == 64 << 20, "{answer}");
    let cpu = |key: &str| {
        answer[key]["cpu_usage"]["total_usage"]
            .as_u64()
            .unwrap_or(0)
    };
    ensure!(
        cpu("cpu_stats") > cpu("precpu_stats") && cpu("precpu_stats") > 0,
        "{answer}"
    );
    ensure!(
        answer["cpu_stats"]["throttling_data"]["throttled_periods"].as_u64() > Some(0),
        "{answer}"
    );
    let once = node
        .api(
            "GET",
            "/v1.50/containers/busy/stats?stream=0&one-shot=1",
            b"",
        )?
        .json();
    ensure!(
        once["precpu_stats"]["cpu_usage"]["total_usage"] == 0,
        "{once}"
    );
    ensure!(once["memory_stats"]["usage"].as_u64() > Some(0), "{once}");
    // A stream goes on through the end of a run.
    let live = docker.live(&["stats", "--format", "{{.Name}} {{.PIDs}}", "busy"])?;
    live.says("busy 1")?;
    docker.ok(&["kill", "busy"])?;
    live.says("busy 0")?;
    live.kill()?;
    node.finish()
}

fn wait_knows_every_condition() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["create", "--name", "ww", "busybox", "sh", "-c", "exit 4"])?;
    ensure!(
        docker.ok(&["wait", "ww"])? == "0",
        "one that never ran does not run"
    );
    let waiting = |condition: &str| {
        let (socket, path) = (
            node.socket("docker"),
            format!("/v1.50/containers/ww/wait?condition={condition}"),
        );
        std::thread::spawn(move || {
            gantry_integration::http::request(&socket, "POST", &path, "application/json", b"")
        })
    };
    let next = waiting("next-exit");
    let removed = waiting("removed");
    // Both are registered when a wait that came after them is answered, and none has ended.
    docker.ok(&["wait", "ww"])?;
    ensure!(!next.is_finished() && !removed.is_finished());
    wait::until("a run after the waiters came", LIMIT, || {
        docker.run(&["start", "ww"]).is_ok() && next.is_finished()
    })?;
    let answer = next.join().expect("no panic")?;
    ensure!(answer.json()["StatusCode"] == 4, "{answer:?}");
    ensure!(docker.ok(&["wait", "ww"])? == "4");
    ensure!(!removed.is_finished());
    docker.ok(&["rm", "-f", "ww"])?;
    let answer = removed.join().expect("no panic")?;
    ensure!(
        answer.status == 200 && answer.json()["StatusCode"] == 4,
        "{answer:?}"
    );
    let answer = node.api("POST", "/v1.50/containers/ww/wait", b"")?;
    ensure!(answer.status == 404, "{answer:?}");
    // `docker wait` of one that is started again by policy ends with its run.
    docker.ok(&[
        "run",
        "-d",
        "--restart",
        "always",
        "--name",
        "rr",
        "busybox",
        "sh",
        "-c",
        "sleep 1; exit 9",
    ])?;
    ensure!(docker.ok(&["wait", "rr"])? == "9");
    let answer = node.api("POST", "/v1.50/containers/rr/wait?condition=gone", b"")?;
    ensure!(
        answer.status == 400 && answer.json()["message"] == "invalid condition: \"gone\"",
        "{answer:?}"
    );
    node.finish()
}

fn pause_and_unpause() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "pp",
        "busybox",
        "sh",
        "-c",
        "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done",
    ])?;
    docker.ok(&["pause", "pp"])?;
    ensure!(field(&docker, "pp", ".State.Status")? == "paused");
    ensure!(field(&docker, "pp", ".State.Running")? == "true");
    ensure!(
        docker
            .ok(&["ps", "--format", "{{.Status}}"])?
            .ends_with(" (Paused)")
    );
    ensure!(docker.ok(&["ps", "-q", "--filter", "status=paused"])?.len() == 12);
    for (args, words) in [
        (&["pause", "pp"][..], "is already paused"),
        (
            &["start", "pp"],
            "cannot start a paused container, try unpause instead",
        ),
        (
            &["rm", "pp"],
            "container is paused and must be unpaused first",
        ),
        (
            &["exec", "pp", "true"],
            "is paused, unpause the container before exec",
        ),
    ] {
        let ran = docker.run(args)?;
        ensure!(ran.code != 0 && ran.err.contains(words), "{ran:?}");
    }
    // It stays frozen without a daemon, and the next one knows.
    node.kill()?;
    node.restart()?;
    ensure!(field(&docker, "pp", ".State.Status")? == "paused");
    let lines = docker.ok(&["logs", "pp"])?.lines().count();
    docker.ok(&["unpause", "pp"])?;
    wait::until("it to go on", LIMIT, || {
        docker
            .ok(&["logs", "pp"])
            .is_ok_and(|log| log.lines().count() > lines + 2)
    })?;
    let ran = docker.run(&["unpause", "pp"])?;
    ensure!(
        ran.code != 0 && ran.err.contains("is not paused"),
        "{ran:?}"
    );
    // A paused one can be stopped.
    docker.ok(&["pause", "pp"])?;
    docker.ok(&["stop", "-t", "1", "pp"])?;
    ensure!(field(&docker, "pp", ".State.Status")? == "exited");
    let ran = docker.run(&["pause", "pp"])?;
    ensure!(
        ran.code != 0 && ran.err.contains("is not running"),
        "{ran:?}"
    );
    node.finish()
}

fn events_are_filtered() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let id = docker.ok(&[
        "run", "-d", "--name", "ee", "--label", "l=v", "-v", "vol:/v", "busybox", "sleep", "1000",
    ])?;
    ensure!(docker.run(&["exec", "ee", "sh", "-c", "exit 3"])?.code == 3);
    docker.ok(&["kill", "-s", "KILL", "ee"])?;
    docker.ok(&["wait", "ee"])?;
    let past = |filters: &[&str], format: &str| -> Result<Vec<String>> {
        let now = docker.ok(&["info", "--format", "{{.SystemTime}}"])?;
        let mut args = vec!["events", "--until", &now, "--format", format];
        for filter in filters {
            args.extend(["--filter", filter]);
        }
        Ok(docker.ok(&args)?.lines().map(str::to_owned).collect())
    };
    let action = "{{.Action}}";
    let of = past(
        &["container=ee", "event=kill"],
        "{{.Action}} {{.Actor.Attributes.signal}}",
    )?;
    ensure!(of == ["kill 9"], "{of:?}");
    let of = past(
        &["container=ee", "event=die"],
        "{{.Actor.Attributes.exitCode}} {{.Actor.Attributes.image}}",
    )?;
    ensure!(of == ["137 busybox"], "{of:?}");
    let of = past(&["event=exec_create"], action)?;
    ensure!(of == ["exec_create: sh -c exit 3"], "{of:?}");
    let of = past(
        &["event=exec_die"],
        "{{.Actor.Attributes.exitCode}} {{.Actor.Attributes.execID}}",
    )?;
    ensure!(
        of.len() == 1 && of[0].starts_with("3 ") && of[0].len() == 66,
        "{of:?}"
    );
    for (filters, expected) in [
        (&["type=container", "label=l=v", "event=create"][..], 1),
        (&["type=container", "label=l=w"], 0),
        (&["type=volume", "volume=vol", "event=create"], 1),
        (&["type=network", "network=bridge", "event=connect"], 1),
        (&["image=busybox", "type=container", "event=start"], 1),
        (&["image=alpine"], 0),
        (&["scope=swarm"], 0),
        (&["node=x"], 0),
        (&["container=ee", "event=create", "event=start"], 2),
    ] {
        let of = past(filters, action)?;
        ensure!(of.len() == expected, "{filters:?}: {of:?}");
    }
    let prefix = format!("container={}", &id[..12]);
    ensure!(past(&[&prefix, "event=create"], action)?.len() == 1);
    // Fractions of a second, both ways.
    let at = past(&["container=ee", "event=die"], "{{.TimeNano}}")?;
    let nanos: u64 = at[0].parse()?;
    let stamp = |nanos: u64| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    for (since, until, expected) in [
        (nanos, nanos, 1),
        (nanos + 1, nanos + 2, 0),
        (nanos - 2, nanos - 1, 0),
    ] {
        let found = docker.ok(&[
            "events",
            "--since",
            &stamp(since),
            "--until",
            &stamp(until),
            "--filter",
            "event=die",
            "--format",
            action,
        ])?;
        ensure!(
            found.lines().count() == expected,
            "{since} {until}: {found}"
        );
    }
    node.finish()
}
