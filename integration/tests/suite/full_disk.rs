//! No room on the disk under the root: what is asked for fails with a clear word, what runs goes on, exits are recorded,
//! a daemon can be started on it, and everything works again as soon as there is room.
//!
//! The root is a small ext4 file system of its own: a full tmpfs still makes folders, which no disk does.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gantry_cri_api::v1::ContainerState;
use gantry_integration::docker::{Docker, Ran};
use gantry_integration::node::{BUSYBOX, Options};
use gantry_integration::{Node, cases, cri, http, wait};

cases![
    a_full_root_stops_nothing,
    a_full_root_can_be_cleared,
    a_rotated_log_waits_for_room,
    last_words_are_in_the_log,
];

/// Megabytes of the disk.
const SIZE: u64 = 96;
const PAGE: usize = 4096;

/// Prints a number fifty times a second.
const NUMBERS: &str = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done";
/// At full speed, so that their log is rotated many times a second.
const MANY: &str = "i=0; while :; do seq $i $((i+999)); i=$((i+1000)); sleep 0.1; done";
/// When it is told to go, more lines than its log has room for on a full disk before it waits, and the end.
const LAST_WORDS: &str =
    "go=; trap 'go=1' USR1; while [ -z \"$go\" ]; do sleep 0.02; done; seq 0 2499; exit 5";
/// Ends with 23 when it is asked to.
const ENDER: &str = "trap 'exit 23' TERM; while :; do sleep 0.05; done";

/// A node whose root is a disk of [`SIZE`]. The broom of the tests unmounts it.
fn node_on_a_disk() -> Result<Node> {
    let mut node = Node::prepare(Options::default())?;
    let image = node.dir().join("disk");
    File::create(&image)?.set_len(SIZE << 20)?;
    std::fs::create_dir(node.root())?;
    tool("mkfs.ext4", &["-q", "-m", "0"], &[&image])?;
    tool("mount", &["-o", "loop"], &[&image, &node.root()])?;
    node.restart()?;
    node.load_busybox()?;
    Ok(node)
}

fn tool(program: &str, args: &[&str], paths: &[&Path]) -> Result<()> {
    let out = Command::new(program)
        .args(args)
        .args(paths)
        .output()
        .with_context(|| format!("run {program}"))?;
    if !out.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}

/// Takes the last block; dropped, gives them back.
struct Filler(PathBuf);

impl Filler {
    fn fill(node: &Node) -> Result<Self> {
        Self::fill_with(node, "filler")
    }

    fn fill_with(node: &Node, name: &str) -> Result<Self> {
        let filler = Self(node.root().join(name));
        let mut file = File::create(&filler.0)?;
        // Twice: blocks freed lately come back only with the journal's next commit.
        for _ in 0..2 {
            let mut piece = vec![7; 1 << 20];
            while piece.len() >= PAGE {
                if file.write_all(&piece).is_err() {
                    piece.truncate(piece.len() / 2);
                }
            }
            file.sync_all()?;
        }
        Ok(filler)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether it failed for want of room, and says so.
fn no_room(ran: &Ran) -> Result<()> {
    let said = ran.err.to_ascii_lowercase();
    ensure!(
        ran.code != 0 && said.contains("no space left"),
        "expected the word that there is no room: {ran:?}"
    );
    Ok(())
}

fn state(docker: &Docker, name: &str) -> Result<String> {
    docker.ok(&[
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.ExitCode}}",
        name,
    ])
}

/// Numbered lines from `first` on, none missing, twice or torn. Answers how many there are.
fn whole(log: &str, first: usize) -> Result<usize> {
    for (at, line) in log.lines().enumerate() {
        ensure!(
            line.parse::<usize>().is_ok_and(|n| n == first + at),
            "{line:?} instead of {}",
            first + at
        );
    }
    Ok(log.lines().count())
}

fn ends(docker: &Docker, name: &str, expected: &str) -> Result<()> {
    let mut last = String::new();
    wait::until(
        &format!("{name} to be {expected}"),
        Duration::from_secs(10),
        || {
            last = state(docker, name).unwrap_or_else(|e| e.to_string());
            last == expected
        },
    )
    .with_context(|| format!("it is {last}"))
}

fn a_full_root_stops_nothing() -> Result<()> {
    let mut node = node_on_a_disk()?;
    let docker = node.docker();
    let run = |name: &str, what: &str| {
        docker.ok(&["run", "-d", "--name", name, "busybox", "sh", "-c", what])
    };
    run("numbers", NUMBERS)?;
    run("ender", ENDER)?;
    run("later", ENDER)?;
    run("stopped", "sleep 1000")?;
    docker.ok(&["create", "--name", "ready", "busybox", "true"])?;
    let pid = docker.ok(&["inspect", "-f", "{{.State.Pid}}", "numbers"])?;
    let (pod, inside) = pod(&node)?;

    let filler = Filler::fill(&node)?;
    no_room(&docker.run(&["run", "--name", "new", "busybox", "true"])?)?;
    no_room(&docker.run(&["create", "--name", "new", "busybox", "true"])?)?;
    let tar = gantry_integration::paths::build().join("busybox.tar");
    // The layers are there; another image's are not.
    let other = other_image(&node)?;
    // The command loses the answer when it comes before it has sent everything.
    let archive = std::fs::read(&other)?;
    let kind = "application/x-tar";
    let answer = http::request(
        &node.socket("docker"),
        "POST",
        "/images/load",
        kind,
        &archive,
    )?;
    ensure!(
        answer.status == 500 && answer.body.to_ascii_lowercase().contains("no space left"),
        "{answer:?}"
    );
    ensure!(
        docker
            .run(&["load", "-i", &tar.display().to_string()])?
            .code
            <= 1
    );
    // A start may find all it needs or say what it lacks.
    let ran = docker.run(&["start", "ready"])?;
    if ran.code != 0 {
        no_room(&ran)?;
    }
    goes_on(&node, &pid)?;
    docker.ok(&["kill", "-s", "TERM", "ender"])?;
    ends(&docker, "ender", "exited 23")?;
    docker.ok(&["stop", "-t", "0", "stopped"])?;
    ends(&docker, "stopped", "exited 137")?;
    let api = node.cri()?;
    ensure!(api.exec(&inside, &["echo", "hi"], 5)?.stdout == b"hi\n");
    api.stop(&inside, 0)?;
    ensure!(api.status(&inside)?.state() == ContainerState::ContainerExited);
    drop(api);

    // A daemon starts on a full disk and knows all of it.
    docker.ok(&["kill", "-s", "TERM", "later"])?;
    node.kill()?;
    node.restart().context("start on a full disk")?;
    ends(&docker, "ender", "exited 23")?;
    ends(&docker, "later", "exited 23")?;
    ends(&docker, "stopped", "exited 137")?;
    goes_on(&node, &pid)?;
    let api = node.cri()?;
    let status = api.status(&inside)?;
    ensure!(
        status.state() == ContainerState::ContainerExited && status.exit_code == 137,
        "{status:?}"
    );
    // What has ended gave some room back.
    let more = Filler::fill_with(&node, "more")?;
    no_room(&docker.run(&["run", "--name", "new", "busybox", "true"])?)?;

    let follower = docker.live(&["logs", "-f", "numbers"])?;
    drop((filler, more));
    recovers(&node, &pid)?;
    docker.ok(&["stop", "-t", "0", "numbers"])?;
    let followed = follower.end()?;
    ensure!(
        followed.ok()? == docker.ok(&["logs", "numbers"])?,
        "the follower saw all of it"
    );
    docker.ok(&["load", "-i", &other.display().to_string()])?;
    api.remove_pod(&pod)?;
    drop(api);
    node.finish()
}

/// What ran goes on and can be worked with.
fn goes_on(node: &Node, pid: &str) -> Result<()> {
    let docker = node.docker();
    ensure!(docker.ok(&["exec", "numbers", "echo", "hi"])? == "hi");
    ensure!(docker.ok(&["inspect", "-f", "{{.State.Pid}}", "numbers"])? == pid);
    docker.ok(&["stats", "--no-stream", "numbers"])?;
    docker.ok(&["top", "numbers"])?;
    docker.ok(&["ps", "-a"])?;
    docker.ok(&["logs", "--tail", "1", "numbers"]).map(drop)
}

/// With room again, and without anybody's help, everything works.
fn recovers(node: &Node, pid: &str) -> Result<()> {
    let docker = node.docker();
    wait::until("a new container to run", Duration::from_secs(5), || {
        docker
            .run(&["run", "--rm", "busybox", "true"])
            .is_ok_and(|ran| ran.code == 0)
    })?;
    let before = docker.ok(&["logs", "numbers"])?.lines().count();
    wait::until("the log to go on", Duration::from_secs(10), || {
        docker
            .ok(&["logs", "numbers"])
            .is_ok_and(|log| log.lines().count() > before + 20)
    })?;
    ensure!(whole(&docker.ok(&["logs", "numbers"])?, 0)? > before);
    goes_on(node, pid)?;
    docker.ok(&["start", "ender"])?;
    docker.ok(&["kill", "-s", "TERM", "ender"])?;
    ends(&docker, "ender", "exited 23")?;
    docker
        .ok(&["run", "--name", "new", "busybox", "true"])
        .map(drop)
}

/// Its oldest file may go for it, as it would by the rotation; nothing between the first and the last line is missing.
fn a_rotated_log_waits_for_room() -> Result<()> {
    let node = node_on_a_disk()?;
    let docker = node.docker();
    let mut run = vec!["run", "-d", "--name", "many", "--log-opt", "max-size=50k"];
    run.extend(["--log-opt", "max-file=4", "--log-opt", "compress=true"]);
    run.extend(["busybox", "sh", "-c", MANY]);
    docker.ok(&run)?;
    let newest = || -> Result<usize> { Ok(docker.ok(&["logs", "--tail", "1", "many"])?.parse()?) };
    let patience = Duration::from_secs(20);
    wait::until("some rotations", patience, || {
        newest().is_ok_and(|n| n > 5000)
    })?;
    let filler = Filler::fill(&node)?;
    let (mut last, mut since) = (0, Instant::now());
    wait::until("the log to stand still", patience, || {
        let now = newest().unwrap_or(0);
        if std::mem::replace(&mut last, now) != now {
            since = Instant::now();
        }
        last > 0 && since.elapsed() > Duration::from_secs(1)
    })?;
    drop(filler);
    wait::until("the log to go on", patience, || {
        newest().is_ok_and(|number| number > last + 5000)
    })?;
    docker.ok(&["stop", "-t", "0", "many"])?;
    let log = docker.ok(&["logs", "many"])?;
    let first = log.lines().next().context("a line")?.parse()?;
    ensure!(whole(&log, first)? > 1000, "{}", log.lines().count());
    node.finish()
}

/// A container that ends while there is no room has all its lines in its log at once.
fn last_words_are_in_the_log() -> Result<()> {
    let node = node_on_a_disk()?;
    let docker = node.docker();
    for driver in ["json-file", "local"] {
        let run = ["run", "-d", "--name", driver, "--log-driver", driver];
        docker.ok(&[&run[..], &["busybox", "sh", "-c", LAST_WORDS]].concat())?;
    }
    // It says what it has written where there is room.
    let script = "i=0; while :; do echo $i; echo $i >/dev/shm/last; i=$((i+1)); done";
    docker.ok(&[
        "run", "-d", "--name", "stalled", "busybox", "sh", "-c", script,
    ])?;
    let filler = Filler::fill(&node)?;
    for driver in ["json-file", "local"] {
        docker.ok(&["kill", "-s", "USR1", driver])?;
        ends(&docker, driver, "exited 5")?;
        let said = docker.ok(&["logs", driver])?;
        ensure!(
            whole(&said, 0)? == 2500,
            "{driver}: {} lines",
            said.lines().count()
        );
    }
    let written = || docker.ok(&["exec", "stalled", "cat", "/dev/shm/last"]);
    let (mut last, mut since) = (String::new(), Instant::now());
    wait::until("it to wait for room", Duration::from_secs(30), || {
        let now = written().unwrap_or_default();
        if std::mem::replace(&mut last, now.clone()) != now {
            since = Instant::now();
        }
        !last.is_empty() && since.elapsed() > Duration::from_secs(1)
    })?;
    docker.ok(&["stop", "-t", "0", "stalled"])?;
    let logged = whole(&docker.ok(&["logs", "stalled"])?, 0)?;
    let last: usize = last.parse()?;
    ensure!(
        logged > last,
        "{logged} lines are in the log, {last} was written"
    );
    drop(filler);
    node.finish()
}

/// Removing things is how people make room: it works on a full disk.
fn a_full_root_can_be_cleared() -> Result<()> {
    let node = node_on_a_disk()?;
    let docker = node.docker();
    docker.ok(&[
        "run",
        "--name",
        "big",
        "busybox",
        "dd",
        "if=/dev/zero",
        "of=/big",
        "bs=1M",
        "count=8",
    ])?;
    docker.ok(&["run", "-d", "--name", "live", "busybox", "sleep", "1000"])?;
    docker.ok(&[
        "run", "-d", "--rm", "--name", "auto", "busybox", "sh", "-c", ENDER,
    ])?;
    docker.ok(&["volume", "create", "vv"])?;
    let _filler = Filler::fill(&node)?;
    no_room(&docker.run(&["run", "--name", "new", "busybox", "true"])?)?;
    docker.ok(&["kill", "-s", "TERM", "auto"])?;
    wait::until("--rm on a full disk", Duration::from_secs(10), || {
        docker.run(&["inspect", "auto"]).is_ok_and(|r| r.code != 0)
    })?;
    docker.ok(&["rm", "-f", "live"])?;
    docker.ok(&["volume", "rm", "vv"])?;
    docker.ok(&["rm", "big"])?;
    // That has made room, with the filler still there.
    wait::until("room", Duration::from_secs(10), || {
        docker
            .run(&["run", "--rm", "busybox", "true"])
            .is_ok_and(|ran| ran.code == 0)
    })?;
    node.finish()
}

fn pod(node: &Node) -> Result<(String, String)> {
    let logs = node.root().join("podlogs");
    std::fs::create_dir_all(&logs)?;
    let api = node.cri()?;
    let config = cri::pod("p", &logs.display().to_string());
    let pod = api.run_pod(config.clone())?;
    let id = api.create(
        &pod,
        cri::container("c", BUSYBOX, &["sh", "-c", NUMBERS]),
        config,
    )?;
    api.start(&id)?;
    Ok((pod, id))
}

/// An image with a layer nobody has yet: busybox and four megabytes that do not compress.
fn other_image(node: &Node) -> Result<PathBuf> {
    let (folder, out) = (node.dir().join("other"), node.dir().join("other.tar"));
    std::fs::create_dir_all(&folder)?;
    let script = r#"set -e
        cd "$1"; head -c 4194304 /dev/urandom >noise
        tar -cf layer.tar noise
        digest=$(sha256sum layer.tar | cut -d' ' -f1)
        printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$digest" >config.json
        printf '[{"Config":"config.json","RepoTags":["other:latest"],"Layers":["layer.tar"]}]' >manifest.json
        tar -cf "$2" config.json manifest.json layer.tar"#;
    tool("sh", &["-c", script, "sh"], &[&folder, &out])?;
    Ok(out)
}
