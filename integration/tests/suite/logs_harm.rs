//! Logs that are harmed: no room for them, their supervisor killed in the middle of it, their file taken away.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

cases![
    a_full_disk_costs_whole_lines,
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

/// What a log of CRI's says, and what it says is missing.
fn read(text: &str) -> Result<(Vec<usize>, usize)> {
    let (mut numbers, mut lost) = (Vec::new(), 0);
    let end = text.rfind('\n').map_or(0, |place| place + 1);
    for line in text[..end].lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        ensure!(words.len() == 4 && words[2] == "F", "torn: {line}");
        match words[3].strip_prefix("gantry: ") {
            Some(note) => {
                let (count, why) = note.split_once(' ').context("a count")?;
                ensure!(
                    why.starts_with("lines of this log were lost: No space left on device"),
                    "{note}"
                );
                lost += count.parse::<usize>()?;
            }
            None => numbers.push(number(words[3]).with_context(|| line.to_owned())?),
        }
    }
    ensure!(numbers.is_sorted_by(|a, b| a < b), "in order, none twice");
    Ok((numbers, lost))
}

fn a_full_disk_costs_whole_lines() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let logs = node.dir().join("logs");
    std::fs::create_dir_all(&logs)?;
    tool("mount", &["-t", "tmpfs", "-o", "size=128k", "tmpfs"], &logs)?;
    let filler = logs.join("filler");
    std::fs::write(&filler, vec![7; 64 << 10])?;
    let api = node.cri()?;
    let pod = cri::pod("p", &logs.display().to_string());
    let pod_id = api.run_pod(pod.clone())?;
    let script = format!("i=0; while :; do {COUNT}; [ $((i%20)) = 0 ] && sleep 0.01; done");
    let id = api.create(
        &pod_id,
        cri::container("c", BUSYBOX, &["sh", "-c", &script]),
        pod,
    )?;
    api.start(&id)?;
    let log = || std::fs::read_to_string(logs.join("c.log")).unwrap_or_default();
    let mut before = 0;
    wait::until("the disk to be full", PATIENCE, || {
        let (was, now) = (before, log().len());
        before = now;
        now == was && now > 50_000
    })?;
    let (numbers, lost) = read(&log())?;
    ensure!(numbers.iter().copied().eq(0..numbers.len()) && lost == 0);
    ensure!(
        api.exec(&id, &["echo", "hi"], 5)?.stdout == b"hi\n",
        "the container goes on"
    );
    std::fs::remove_file(&filler)?;
    wait::until("the log to go on", PATIENCE, || {
        read(&log()).is_ok_and(|(_, lost)| lost > 0)
    })?;
    api.stop(&id, 0)?;
    let (numbers, lost) = read(&log())?;
    let last = *numbers.last().context("a line")?;
    // None is missing but those the log says are; at the end it may be full again.
    ensure!(
        numbers.len() + lost == last + 1,
        "{} lines and {lost} lost of {last}",
        numbers.len()
    );
    api.remove_pod(&pod_id)?;
    tool("umount", &[], &logs)?;
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
