//! `docker run` and how it ends: output, exit codes, stdin, terminals, options.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use gantry_integration::docker::client;
use gantry_integration::{Node, cases};

cases![
    foreground_and_exit_codes,
    stdin_goes_through,
    a_terminal_of_the_right_size,
    options_reach_the_process,
    limits_reach_the_cgroup,
    isolation_is_dockers_default,
    attach_before_start_misses_nothing,
    the_image_is_one_for_many_containers,
];

fn foreground_and_exit_codes() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let ran = docker.run(&[
        "run",
        "--rm",
        "busybox",
        "sh",
        "-c",
        "echo out; echo err >&2",
    ])?;
    ensure!(
        (ran.code, ran.out.as_str(), ran.err.as_str()) == (0, "out\n", "err\n"),
        "{ran:?}"
    );
    for (command, code) in [
        ("exit 7", 7),
        // Not of process 1 itself: that one is immune to signals from inside.
        ("(exec sh -c 'kill -9 $$'); exit $?", 137),
        ("exit 255", 255),
    ] {
        let ran = docker.run(&["run", "--rm", "busybox", "sh", "-c", command])?;
        ensure!(ran.code == code, "{command}: {ran:?}");
    }
    // 127: no such program; 126: there, but not a program. The texts name it.
    let ran = docker.run(&["run", "--rm", "busybox", "no-such-program"])?;
    ensure!(
        ran.code == 127 && ran.err.contains("no-such-program"),
        "{ran:?}"
    );
    let ran = docker.run(&["run", "--rm", "busybox", "/etc/passwd"])?;
    ensure!(
        ran.code == 126 && ran.err.contains("/etc/passwd"),
        "{ran:?}"
    );
    ensure!(
        docker.ok(&["ps", "-aq"])?.is_empty(),
        "--rm removes, also after a failed start"
    );
    node.finish()
}

fn stdin_goes_through() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let ran = docker.run_with(&["run", "--rm", "-i", "busybox", "cat"], b"one\ntwo\n")?;
    ensure!((ran.code, ran.out.as_str()) == (0, "one\ntwo\n"), "{ran:?}");
    // More than any buffer on the way, and the end of input is seen.
    let big = vec![b'x'; 5 << 20];
    let ran = docker.run_with(&["run", "--rm", "-i", "busybox", "wc", "-c"], &big)?;
    ensure!(ran.out.trim() == big.len().to_string(), "{ran:?}");
    // Without -i there is no input to wait for.
    let ran = docker.run_with(&["run", "--rm", "busybox", "cat"], b"ignored")?;
    ensure!((ran.code, ran.out.as_str()) == (0, ""), "{ran:?}");
    node.finish()
}

fn a_terminal_of_the_right_size() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    // The client tells the size after the start: the container looks until it has come.
    let inner = "tty; for i in 1 2 3 4 5 6 7 8 9 10; do s=$(stty size); [ \"$s\" = '33 101' ] && break; sleep 0.2; done; echo size $s";
    let line = format!(
        "stty rows 33 cols 101; {} run --rm -it busybox sh -c '{}'",
        client().display(),
        inner.replace('\'', "'\\''")
    );
    let docker = node.docker();
    let out = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("DOCKER_HOST", &docker.host)
        .env("DOCKER_CONFIG", &docker.config)
        .stdin(Stdio::null())
        .output()
        .context("run script")?;
    let said = String::from_utf8_lossy(&out.stdout);
    ensure!(said.contains("/dev/pts/0"), "{said}");
    ensure!(said.contains("size 33 101"), "{said}");
    node.finish()
}

fn options_reach_the_process() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let run = |options: &[&str], command: &str| {
        let line = [&["run", "--rm"], options, &["busybox", "sh", "-c", command]].concat();
        docker.ok(&line)
    };
    ensure!(
        run(
            &["-e", "A=b c", "-e", "EMPTY="],
            "echo $A:$EMPTY:$HOME:$HOSTNAME | cut -d: -f1-3"
        )? == "b c::/root"
    );
    ensure!(run(&["-w", "/a/new/folder"], "pwd")? == "/a/new/folder");
    ensure!(run(&["--user", "33:44"], "id -u; id -g")? == "33\n44");
    ensure!(run(&["--user", "www"], "id -u; id -g; echo $HOME")? == "33\n33\n/var/www");
    ensure!(
        run(
            &["--hostname", "myhost"],
            "hostname; cat /etc/hostname; grep -c myhost /etc/hosts"
        )? == "myhost\nmyhost\n1"
    );
    ensure!(
        run(
            &["--read-only"],
            "touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo shm"
        )? == "refused\nshm"
    );
    ensure!(docker.ok(&["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"])? == "a b");
    let ran = docker.run(&["run", "--rm", "--user", "nosuchuser", "busybox", "true"])?;
    ensure!(ran.code != 0 && ran.err.contains("nosuchuser"), "{ran:?}");
    let id = docker.ok(&[
        "create", "--label", "k=v", "--name", "labelled", "busybox", "true",
    ])?;
    ensure!(docker.ok(&["ps", "-aq", "--no-trunc", "--filter", "label=k=v"])? == id);
    ensure!(
        docker
            .ok(&["ps", "-aq", "--filter", "label=k=other"])?
            .is_empty()
    );
    node.finish()
}

fn limits_reach_the_cgroup() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "ll",
        "-m",
        "32m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "7",
        "busybox",
        "sleep",
        "1000",
    ])?;
    let host = docker.ok(&[
        "inspect",
        "-f",
        "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}",
        "ll",
    ])?;
    ensure!(host == "33554432 500000000 7", "{host}");
    // The pids limit holds: an eighth process cannot be made.
    let ran = docker.run(&[
        "exec",
        "ll",
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done",
    ])?;
    ensure!(ran.code != 0 || ran.err.contains("fork"), "{ran:?}");
    // The memory limit kills, and says so.
    docker.run(&[
        "run",
        "--name",
        "oom",
        "-m",
        "16m",
        "busybox",
        "sh",
        "-c",
        "x=a; while :; do x=$x$x; done",
    ])?;
    let state = docker.ok(&[
        "inspect",
        "-f",
        "{{.State.ExitCode}} {{.State.OOMKilled}}",
        "oom",
    ])?;
    ensure!(state == "137 true", "{state}");
    node.finish()
}

fn isolation_is_dockers_default() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let run = |options: &[&str], command: &str| {
        docker.ok(&[&["run", "--rm"], options, &["busybox", "sh", "-c", command]].concat())
    };
    let caps = |options: &[&str]| run(options, "awk '/CapEff/ { print $2 }' /proc/self/status");
    ensure!(caps(&[])? == "00000000a80425fb", "{}", caps(&[])?);
    ensure!(caps(&["--cap-drop", "ALL"])? == "0000000000000000");
    ensure!(caps(&["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"])? == "0000000000001000");
    ensure!(run(&[], "awk '/^Seccomp:/ { print $2 }' /proc/self/status")? == "2");
    ensure!(
        run(&[], "ps | wc -l")?.parse::<u32>()? < 6,
        "its own processes only"
    );
    ensure!(
        run(
            &[],
            "cat /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware | wc -l"
        )? == "0\n0"
    );
    ensure!(
        run(
            &[],
            "echo x > /proc/sys/kernel/domainname 2>/dev/null || echo refused"
        )? == "refused"
    );
    ensure!(run(&[], "mount -t tmpfs x /tmp 2>/dev/null || echo refused")? == "refused");
    ensure!(
        run(&[], "ls /proc/self/fd | wc -l")? == "4",
        "0, 1, 2 and that of ls"
    );
    ensure!(
        run(&[], "ls /dev | sort | tr '\\n' ' '")?
            == "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    node.finish()
}

fn attach_before_start_misses_nothing() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    for round in 0..10 {
        let name = format!("a{round}");
        docker.ok(&[
            "create",
            "--name",
            &name,
            "busybox",
            "sh",
            "-c",
            "echo first; exit 3",
        ])?;
        let ran = docker.run(&["start", "-a", &name])?;
        ensure!((ran.code, ran.out.as_str()) == (3, "first\n"), "{ran:?}");
    }
    // A second start is a second run: attach sees its output only, the log has both.
    let ran = docker.run(&["start", "-a", "a0"])?;
    ensure!((ran.code, ran.out.as_str()) == (3, "first\n"), "{ran:?}");
    ensure!(docker.ok(&["logs", "a0"])? == "first\nfirst");
    node.finish()
}

fn the_image_is_one_for_many_containers() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "--name",
        "ww",
        "busybox",
        "sh",
        "-c",
        "echo mine > /mine; rm /etc/group; date > /etc/passwd",
    ])?;
    ensure!(
        docker.ok(&[
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "ls /mine 2>/dev/null; grep -c . /etc/group /etc/passwd"
        ])? == "/etc/group:3\n/etc/passwd:3"
    );
    // A container keeps its layer between runs.
    docker.ok(&[
        "create",
        "--name",
        "kk",
        "busybox",
        "sh",
        "-c",
        "echo x >> /n; wc -l < /n",
    ])?;
    ensure!(docker.ok(&["start", "-a", "kk"])? == "1");
    ensure!(docker.ok(&["start", "-a", "kk"])? == "2");
    node.finish()
}
