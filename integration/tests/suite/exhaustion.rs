//! No more descriptors, processes or memory: a clear word to whoever asks, what runs goes on, exits are recorded, and
//! everything works again as soon as there is enough.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gantry_integration::docker::Docker;
use gantry_integration::{Node, cases, leaks, wait};

cases![
    no_descriptors_left,
    a_supervisor_without_descriptors,
    no_processes_left,
    a_container_at_its_own_limits,
    a_daemon_without_memory,
];

/// Prints a number fifty times a second.
const NUMBERS: &str = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done";
/// Ends with 23 when it is asked to.
const ENDER: &str = "trap 'exit 23' TERM; while :; do sleep 0.05; done";

fn node() -> Result<(Node, Docker)> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    for (name, what) in [("numbers", NUMBERS), ("ender", ENDER)] {
        docker.ok(&["run", "-d", "--name", name, "busybox", "sh", "-c", what])?;
    }
    Ok((node, docker))
}

fn pid(docker: &Docker, name: &str) -> Result<i32> {
    Ok(docker
        .ok(&["inspect", "-f", "{{.State.Pid}}", name])?
        .parse()?)
}

/// How many numbers the log has; none is missing.
fn lines(docker: &Docker) -> Result<usize> {
    let log = docker.ok(&["logs", "numbers"])?;
    for (at, line) in log.lines().enumerate() {
        ensure!(line == at.to_string(), "line {at} of the log is {line:?}");
    }
    Ok(log.lines().count())
}

/// The log grows and has no hole.
fn goes_on(docker: &Docker) -> Result<()> {
    let before = lines(docker)?;
    let mut last = Ok(0);
    wait::until("the log to go on", Duration::from_secs(10), || {
        last = lines(docker);
        last.as_ref().map_or(true, |count| *count > before + 10)
    })?;
    last.map(drop)
}

fn exited(docker: &Docker, name: &str, expected: &str) -> Result<()> {
    let format = "{{.State.Status}} {{.State.ExitCode}}";
    wait::until(
        &format!("{name} to be {expected}"),
        Duration::from_secs(10),
        || {
            docker
                .ok(&["inspect", "-f", format, name])
                .is_ok_and(|state| state == expected)
        },
    )
}

fn works_again(docker: &Docker) -> Result<()> {
    let mut last = None;
    wait::until("a new container to run", Duration::from_secs(10), || {
        let ran = docker.run(&["run", "--rm", "busybox", "true"]);
        let good = ran.as_ref().is_ok_and(|ran| ran.code == 0);
        last = Some(ran);
        good
    })
    .with_context(|| format!("{last:?}"))?;
    ensure!(docker.ok(&["exec", "numbers", "echo", "hi"])? == "hi");
    goes_on(docker)
}

/// Sets a process's limit of open files; answers the one before.
fn limit_files(pid: u32, limit: &str) -> Result<String> {
    let run = |args: &[&str]| -> Result<String> {
        let out = Command::new("prlimit")
            .args(["--pid", &pid.to_string()])
            .args(args)
            .output()
            .context("run prlimit (util-linux)")?;
        ensure!(
            out.status.success(),
            "prlimit {args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let before = run(&["--nofile", "--noheadings", "--raw", "-o", "SOFT"])?;
    run(&[&format!("--nofile={limit}:")])?;
    Ok(before)
}

fn open_files(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Milliseconds of CPU a process has used.
fn cpu(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .context("a stat line")?
        .1
        .split(' ')
        .collect();
    // Ticks of 10 ms (proc_pid_stat(5): utime and stime, the 14th and 15th field).
    Ok((fields[11].parse::<u64>()? + fields[12].parse::<u64>()?) * 10)
}

/// A connection that outlives requests.
struct Held(UnixStream);

impl Held {
    fn new(node: &Node) -> Result<Self> {
        let mut held = Self(UnixStream::connect(node.socket("docker"))?);
        held.0.set_read_timeout(Some(Duration::from_secs(100)))?;
        // Answered, it has been accepted.
        let (status, _) = held.ask("GET", "/_ping", "")?;
        ensure!(status == 200);
        Ok(held)
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes())?;
        let mut raw = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let count = self
                .0
                .read(&mut piece)
                .with_context(|| format!("{method} {path}"))?;
            ensure!(count > 0, "{method} {path}: no answer");
            raw.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&raw).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let head = head.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|length| length.trim().parse::<usize>().ok())
                .unwrap_or(0);
            let status: u16 = head.split(' ').nth(1).context("a status")?.parse()?;
            if body.len() >= length {
                return Ok((status, body.to_owned()));
            }
        }
    }
}

fn no_descriptors_left() -> Result<()> {
    let (node, docker) = node()?;
    docker.ok(&["create", "--name", "ready", "busybox", "true"])?;
    let ender = pid(&docker, "ender")?;
    let mut held = Held::new(&node)?;
    let limit = open_files(node.pid())? + 2;
    let before = limit_files(node.pid(), &limit.to_string())?;
    // Two are taken by these, the rest wait in the socket's queue.
    let waiting: Vec<UnixStream> = (0..20)
        .map(|_| UnixStream::connect(node.socket("docker")))
        .collect::<std::io::Result<_>>()?;
    let full = || open_files(node.pid()).is_ok_and(|open| open >= limit);
    wait::until(
        "the descriptors to be used up",
        Duration::from_secs(5),
        full,
    )?;

    let busy = cpu(node.pid())?;
    let begun = std::time::Instant::now();
    wait::until("a second and a half", Duration::from_secs(5), || {
        begun.elapsed() > Duration::from_millis(1500)
    })?;
    let busy = cpu(node.pid())? - busy;
    ensure!(
        busy < 700,
        "gantryd used {busy} ms of CPU in 1.5 s of nothing"
    );

    let (status, said) = held.ask("POST", "/containers/ready/start", "")?;
    ensure!(
        status >= 500 && said.to_ascii_lowercase().contains("too many open files"),
        "{status} {said}"
    );
    let (status, _) = held.ask("GET", "/containers/json", "")?;
    ensure!(status == 200, "lists need no descriptor");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(ender),
        nix::sys::signal::Signal::SIGTERM,
    )?;
    let ended = wait::until("the exit to be seen", Duration::from_secs(10), || {
        held.ask("GET", "/containers/ender/json", "")
            .is_ok_and(|(_, said)| said.contains("\"ExitCode\":23"))
    });
    limit_files(node.pid(), &before)?;
    drop(waiting);
    ended?;
    exited(&docker, "ender", "exited 23")?;
    works_again(&docker)?;
    docker.ok(&["start", "ready"])?;
    docker.ok(&["start", "ender"])?;
    node.finish()
}

fn supervisor_of(node: &Node, pid: i32) -> Result<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let parent = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .context("a parent")?
        .trim()
        .parse::<u32>()?;
    let ours = leaks::processes_of(&node.dir().display().to_string());
    let parent_line = ours.iter().find(|(p, _)| p.unsigned_abs() == parent);
    ensure!(
        parent_line.is_some_and(|(_, line)| line.contains("gantry-shim")),
        "process {pid} is a supervisor's child"
    );
    Ok(parent)
}

fn a_supervisor_without_descriptors() -> Result<()> {
    let (node, docker) = node()?;
    let shim = supervisor_of(&node, pid(&docker, "numbers")?)?;
    let other = supervisor_of(&node, pid(&docker, "ender")?)?;
    let before = limit_files(shim, &open_files(shim)?.to_string())?;
    let other_before = limit_files(other, &open_files(other)?.to_string())?;
    let ran = docker.run(&["exec", "numbers", "echo", "hi"])?;
    let said = format!("{}{}", ran.out, ran.err).to_ascii_lowercase();
    ensure!(
        ran.code != 0 && said.contains("too many open files"),
        "{ran:?}"
    );
    goes_on(&docker)?;
    // An end needs none: its place on disk was taken at the start.
    docker.ok(&["kill", "-s", "TERM", "ender"])?;
    exited(&docker, "ender", "exited 23")?;
    limit_files(shim, &before)?;
    // Gone with its container, or still on its way.
    let _ = limit_files(other, &other_before);
    works_again(&docker)?;
    docker.ok(&["start", "ender"])?;
    node.finish()
}

/// A cgroup of the test's own, in the hierarchy of one controller; the broom knows it by the instance's name.
struct Fence {
    path: PathBuf,
}

impl Fence {
    fn new(node: &Node, controller: &str) -> Result<Self> {
        let v1 = Path::new("/sys/fs/cgroup").join(controller);
        let top = if v1.is_dir() {
            v1
        } else {
            PathBuf::from("/sys/fs/cgroup")
        };
        let path = top.join(format!("{}-box", node.instance));
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        let made = Self { path };
        made.write("cgroup.procs", &node.pid().to_string())?;
        Ok(made)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).with_context(|| format!("write {text} to {}", path.display()))
    }

    fn number(&self, file: &str) -> Result<u64> {
        Ok(fs::read_to_string(self.path.join(file))?.trim().parse()?)
    }

    /// What is in it goes back to where the test is.
    fn leave(&self) -> Result<()> {
        let top = self.path.parent().context("a cgroup has a parent")?;
        for line in fs::read_to_string(self.path.join("cgroup.procs"))?.lines() {
            let _ = fs::write(top.join("cgroup.procs"), line);
        }
        wait::until("the cgroup to be empty", Duration::from_secs(5), || {
            fs::remove_dir(&self.path).is_ok()
        })
    }
}

fn no_processes_left() -> Result<()> {
    let (node, docker) = node()?;
    docker.ok(&["create", "--name", "ready", "busybox", "true"])?;
    let ender = pid(&docker, "ender")?;
    let mut held = Held::new(&node)?;
    let fence = Fence::new(&node, "pids")?;
    fence.write("pids.max", &fence.number("pids.current")?.to_string())?;
    let (status, said) = held.ask("POST", "/containers/ready/start", "")?;
    let words = said.to_ascii_lowercase();
    ensure!(
        status >= 500
            && (words.contains("resource temporarily unavailable") || words.contains("process")),
        "{status} {said}"
    );
    // Execs are their supervisor's children, and that has its own cgroup.
    ensure!(docker.ok(&["exec", "numbers", "echo", "hi"])? == "hi");
    goes_on(&docker)?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(ender),
        nix::sys::signal::Signal::SIGTERM,
    )?;
    exited(&docker, "ender", "exited 23")?;
    ensure!(docker.ok(&["wait", "ender"])? == "23");
    fence.write("pids.max", "max")?;
    works_again(&docker)?;
    docker.ok(&["start", "ready"])?;
    docker.ok(&["start", "ender"])?;
    fence.leave()?;
    node.finish()
}

fn a_container_at_its_own_limits() -> Result<()> {
    let (node, docker) = node()?;
    // Processes.
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "crowd",
        "--pids-limit",
        "4",
        "busybox",
        "sh",
        "-c",
        "sleep 1000 & sleep 1000 & sleep 1000 & wait",
    ])?;
    wait::until("the crowd to be complete", Duration::from_secs(5), || {
        docker
            .ok(&["top", "crowd"])
            .is_ok_and(|list| list.lines().count() == 5)
    })?;
    // Its first process comes from outside, the limit counts forks inside.
    let ran = docker.run(&["exec", "crowd", "sh", "-c", "sleep 0 & wait"])?;
    ensure!(ran.code != 0 && ran.err.contains("can't fork"), "{ran:?}");
    // Memory: killed, said, and nobody else's matter.
    let ran = docker.run(&[
        "run",
        "--name",
        "hungry",
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        "busybox",
        "sh",
        "-c",
        "x=a; while :; do x=$x$x; done",
    ])?;
    ensure!(ran.code == 137, "{ran:?}");
    ensure!(
        docker.ok(&[
            "inspect",
            "-f",
            "{{.State.OOMKilled}} {{.State.ExitCode}}",
            "hungry"
        ])? == "true 137"
    );
    let now = docker.ok(&["info", "--format", "{{.SystemTime}}"])?;
    let events = docker.ok(&[
        "events",
        "--since",
        "5m",
        "--until",
        &now,
        "--filter",
        "container=hungry",
        "--format",
        "{{.Action}}",
    ])?;
    ensure!(events.contains("oom") && events.contains("die"), "{events}");
    // An exec that eats its container's memory up: its end is told, the rest goes on or ends with a word.
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "host",
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        "busybox",
        "sleep",
        "1000",
    ])?;
    let ran = docker.run(&["exec", "host", "sh", "-c", "x=a; while :; do x=$x$x; done"])?;
    ensure!(ran.code == 137, "{ran:?}");
    goes_on(&docker)?;
    works_again(&docker)?;
    node.finish()
}

/// The kernel may kill gantryd when its own cgroup is out of memory; that is a death like any other.
fn a_daemon_without_memory() -> Result<()> {
    let (mut node, docker) = node()?;
    let ender = pid(&docker, "ender")?;
    let numbers = pid(&docker, "numbers")?;
    let fence = Fence::new(&node, "memory")?;
    let v1 = fence.path.join("memory.limit_in_bytes").is_file();
    let file = if v1 {
        "memory.limit_in_bytes"
    } else {
        "memory.max"
    };
    // Pages it had before stay where they were charged: this is what it may take more.
    fence.write(file, "2097152")?;
    let socket = node.socket("docker");
    let clients: Vec<_> = (0..60)
        .map(|_| {
            let socket = socket.clone();
            std::thread::spawn(move || {
                for _ in 0..20 {
                    let body = vec![b' '; 900 << 10];
                    let _ = gantry_integration::http::request(
                        &socket,
                        "POST",
                        "/containers/create",
                        "application/json",
                        &body,
                    );
                }
            })
        })
        .collect();
    for client in clients {
        if client.join().is_err() {
            bail!("a client panicked");
        }
    }
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(ender),
        nix::sys::signal::Signal::SIGTERM,
    )?;
    if node.api("GET", "/_ping", b"").is_ok() {
        fence
            .write(file, "-1")
            .or_else(|_| fence.write(file, "max"))?;
        fence.leave()?;
    } else {
        node.kill()?;
        fence.leave()?;
        node.restart()?;
    }
    exited(&docker, "ender", "exited 23")?;
    ensure!(pid(&docker, "numbers")? == numbers, "it goes on");
    works_again(&docker)?;
    node.finish()
}
