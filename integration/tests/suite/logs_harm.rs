//! Logs that are harmed: no room for them, their supervisor killed in the middle of it, their file taken away.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1::ContainerState;
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

cases![
    a_full_disk_costs_no_line,
    a_container_that_ends_on_a_full_disk_loses_no_line,
    a_killed_supervisor_leaves_whole_lines,
    a_file_taken_away_comes_again,
];

const PATIENCE: Duration = Duration::from_secs(20);

/// A line of which the number is at both ends.
const COUNT: &str = "echo $i:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx:$i; i=$((i+1))";

fn number(line: &str) -> Result<usize> {
    let (first, rest) = line.split_once(':').context("torn")?;
    let (_, last) = rest.rsplit_once(':').context("torn")?;
    ensure!(first == last && line.len() == 50 + 2 * first.len(), "torn");
    Ok(first.parse()?)
}

fn tool(program: &str, args: &[&str], path: &Path) -> Result<()> {
    let done = Command::new(program).args(args).arg(path).status()?;
    ensure!(done.success(), "{program} {args:?} {}", path.display());
    Ok(())
}

/// The numbers in a log of CRI's, which begin at 0, and of which none is missing, twice or torn. Answers how many.
fn count(log: &str) -> Result<usize> {
    let end = log.rfind('\n').map_or(0, |place| place + 1);
    for (at, line) in log[..end].lines().enumerate() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        ensure!(words.len() == 4 && words[2] == "F", "torn: {line}");
        let got = number(words[3]).with_context(|| line.to_owned())?;
        ensure!(got == at, "{got} instead of {at}");
    }
    Ok(log[..end].lines().count())
}

/// A small disk for the logs of a pod.
struct Small {
    logs: PathBuf,
    pod: String,
    container: String,
}

impl Small {
    /// The container has started; `full`: when the disk was full already but for 64 KiB.
    fn new(node: &Node, api: &cri::Cri, script: &str, full: bool) -> Result<Self> {
        let logs = node.dir().join("logs");
        std::fs::create_dir_all(&logs)?;
        tool("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &logs)?;
        if full {
            let all_but_a_little = vec![7; (8 << 20) - (64 << 10)];
            std::fs::write(logs.join("filler"), all_but_a_little)?;
        }
        let config = cri::pod("p", &logs.display().to_string());
        let pod = api.run_pod(config.clone())?;
        let container = cri::container("c", BUSYBOX, &["sh", "-c", script]);
        let container = api.create(&pod, container, config)?;
        api.start(&container)?;
        Ok(Self {
            logs,
            pod,
            container,
        })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.logs.join("c.log")).unwrap_or_default()
    }

    /// Takes the last page.
    fn fill(&self) -> Result<()> {
        let mut file = std::fs::File::create(self.logs.join("filler"))?;
        while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
        Ok(())
    }

    /// Half of the disk is free again.
    fn make_room(&self) -> Result<()> {
        let file = std::fs::File::options()
            .write(true)
            .open(self.logs.join("filler"))?;
        Ok(file.set_len(4 << 20)?)
    }

    fn remove(self, api: &cri::Cri) -> Result<()> {
        api.remove_pod(&self.pod)?;
        tool("umount", &[], &self.logs)
    }
}

/// Whether blocks for the log were taken ahead, before the disk was full, or there were none to take: the process waits
/// and nothing is lost.
fn a_full_disk_costs_no_line() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let api = node.cri()?;
    let script = format!("i=0; while :; do {COUNT}; [ $((i%20)) = 0 ] && sleep 0.01; done");
    for full in [true, false] {
        let small = Small::new(&node, &api, &script, full)?;
        if !full {
            small.fill()?;
        }
        let (mut before, mut since) = (0, Instant::now());
        wait::until("the log to stand still", PATIENCE, || {
            let now = small.log().len();
            if std::mem::replace(&mut before, now) != now {
                since = Instant::now();
            }
            now > 50_000 && since.elapsed() > Duration::from_secs(1)
        })?;
        count(&small.log())?;
        let said = api.exec(&small.container, &["echo", "hi"], 5)?.stdout;
        ensure!(said == b"hi\n", "the container goes on");
        small.make_room()?;
        wait::until("the log to go on", PATIENCE, || {
            small.log().len() > before + 500_000
        })?;
        api.stop(&small.container, 0)?;
        ensure!(count(&small.log())? > 0, "full {full}");
        small.remove(&api)?;
    }
    drop(api);
    node.finish()
}

/// What it wrote before is in its log, though there is no room on the disk until it is removed.
fn a_container_that_ends_on_a_full_disk_loses_no_line() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let api = node.cri()?;
    // More than is taken by the log before it waits; the rest stays in the pipe.
    let script = format!(
        "go=; trap 'go=1' USR1; while [ -z \"$go\" ]; do sleep 0.02; done; \
         i=0; while [ $i -lt 1600 ]; do {COUNT}; done; exit 7"
    );
    let small = Small::new(&node, &api, &script, false)?;
    small.fill()?;
    api.exec(&small.container, &["kill", "-USR1", "1"], 5)?;
    wait::until("its end", PATIENCE, || {
        api.status(&small.container)
            .is_ok_and(|s| s.state() == ContainerState::ContainerExited && s.exit_code == 7)
    })?;
    ensure!(count(&small.log())? == 1600, "{}", count(&small.log())?);
    small.remove(&api)?;
    drop(api);
    node.finish()
}

/// Supervisors of this node.
fn supervisors(node: &Node) -> Result<Vec<i32>> {
    let run = node.run().display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // It may have gone by now.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains("gantry-shim run ") && line.contains(&run) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn a_killed_supervisor_leaves_whole_lines() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let script = format!("i=0; while :; do {COUNT}; done");
    docker.ok(&[
        "create",
        "--net",
        "none",
        "--name",
        "cc",
        "--log-opt",
        "max-size=200k",
        "--log-opt",
        "max-file=10000",
        "--log-opt",
        "compress=true",
        "busybox",
        "sh",
        "-c",
        &script,
    ])?;
    for runs in 1..=3 {
        docker.ok(&["start", "cc"])?;
        let last = || docker.ok(&["logs", "--tail", "1", "cc"]);
        wait::until("some rotations", PATIENCE, || {
            last().is_ok_and(|line| number(&line).is_ok_and(|n| n > 5000))
        })?;
        for pid in supervisors(&node)? {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        }
        wait::until("the end to be known", PATIENCE, || {
            docker
                .ok(&["inspect", "-f", "{{.State.Running}}", "cc"])
                .is_ok_and(|s| s == "false")
        })?;
        let mut began = 0;
        let mut next = 0;
        for line in docker.ok(&["logs", "cc"])?.lines() {
            let got = number(line).with_context(|| line.to_owned())?;
            if got == 0 {
                began += 1;
                next = 0;
            }
            ensure!(got == next, "{got} instead of {next}");
            next += 1;
        }
        ensure!(began == runs, "{began} of {runs} runs");
    }
    docker.ok(&["rm", "cc"])?;
    node.finish()
}

fn a_file_taken_away_comes_again() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let script = format!("i=0; while :; do {COUNT}; sleep 0.02; done");
    let id = docker.ok(&["run", "-d", "--net", "none", "busybox", "sh", "-c", &script])?;
    let path = PathBuf::from(docker.ok(&["inspect", "-f", "{{.LogPath}}", &id])?);
    wait::until("a line", PATIENCE, || {
        docker.ok(&["logs", &id]).is_ok_and(|log| !log.is_empty())
    })?;
    let moved = path.with_extension("moved");
    std::fs::rename(&path, &moved)?;
    wait::until("the file to come again", PATIENCE, || {
        std::fs::metadata(&path).is_ok_and(|m| m.len() > 0)
    })?;
    docker.ok(&["stop", "-t", "0", &id])?;
    let text = std::fs::read_to_string(&moved)? + &std::fs::read_to_string(&path)?;
    for (count, line) in text.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let line = line["log"].as_str().context("a line")?;
        ensure!(number(line.trim_end())? == count, "{line} at {count}");
    }
    docker.ok(&["rm", &id])?;
    node.finish()
}
