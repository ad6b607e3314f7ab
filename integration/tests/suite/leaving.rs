//! What is gone leaves nothing behind: not in the daemon, not on the disk, not when many come and go at once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cases, cri, leaks, wait};

cases![
    many_lives_leave_nothing,
    many_at_once,
    a_dead_supervisor_ends_its_container
];

fn entries(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn descriptors(node: &Node) -> usize {
    entries(std::path::Path::new(&format!("/proc/{}/fd", node.pid())))
}

/// Snapshots the driver keeps, whatever its layout: folders that hold a tree.
fn snapshots(node: &Node) -> usize {
    fn count(folder: &std::path::Path, depth: u32) -> usize {
        let folders = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let folders = folders.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        folders
            .map(|e| {
                1 + if depth > 0 {
                    count(&e.path(), depth - 1)
                } else {
                    0
                }
            })
            .sum()
    }
    count(&node.root().join("snapshots/overlay"), 1)
}

fn many_lives_leave_nothing() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let life = |round: u32| -> Result<()> {
        docker.ok(&[
            "run", "--rm", "-p", "8080:80", "-v", "kept:/k", "busybox", "true",
        ])?;
        let api = node.cri()?;
        let config = cri::pod(&format!("p{round}"), &node.dir().display().to_string());
        let pod = api.run_pod(config.clone())?;
        let id = api.create(
            &pod,
            cri::container("c", BUSYBOX, &["sleep", "1000"]),
            config,
        )?;
        api.start(&id)?;
        api.exec(&id, &["true"], 5)?;
        Ok(api.remove_pod(&pod)?)
    };
    // The first ones make what stays: the bridge, the pools, the caches.
    (0..3).try_for_each(life)?;
    let before = (descriptors(&node), snapshots(&node));
    (3..15).try_for_each(life)?;
    let mut after = (0, 0);
    let same = wait::until(
        "descriptors and snapshots to be as before",
        Duration::from_secs(5),
        || {
            after = (descriptors(&node), snapshots(&node));
            after.0 <= before.0 + 2 && after.1 == before.1
        },
    );
    same.with_context(|| {
        format!("descriptors and snapshots before: {before:?}, after: {after:?}")
    })?;
    // Without its last name the image's content and snapshots go as well.
    docker.ok(&["rmi", "busybox"])?;
    wait::until("the content to be gone", Duration::from_secs(5), || {
        entries(&node.root().join("content/blobs/sha256")) == 0
    })?;
    docker.ok(&["volume", "rm", "kept"])?;
    node.finish()
}

fn many_at_once() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    let mut clients = Vec::new();
    for number in 0..12 {
        let code = (number + 10).to_string();
        clients.push((
            number + 10,
            docker.live(&[
                "run",
                "--rm",
                "busybox",
                "sh",
                "-c",
                &format!("echo {code}; exit {code}"),
            ])?,
        ));
    }
    for (code, client) in clients {
        let ran = client.end()?;
        ensure!(
            ran.code == code && ran.out == format!("{code}\n"),
            "{ran:?}"
        );
    }
    node.finish()
}

fn a_dead_supervisor_ends_its_container() -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["run", "-d", "--name", "orphan", "busybox", "sleep", "1000"])?;
    let pid = docker.ok(&["inspect", "-f", "{{.State.Pid}}", "orphan"])?;
    let all = leaks::processes_of(&node.dir().display().to_string());
    let shim = all
        .iter()
        .find(|(_, line)| line.contains("gantry-shim"))
        .context("the supervisor")?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(shim.0),
        nix::sys::signal::Signal::SIGKILL,
    )?;
    wait::until(
        "the container to be shown as ended",
        Duration::from_secs(10),
        || {
            docker
                .ok(&["inspect", "-f", "{{.State.Status}}", "orphan"])
                .is_ok_and(|s| s == "exited")
        },
    )?;
    wait::until(
        "its processes to be killed with it",
        Duration::from_secs(5),
        || !std::path::Path::new("/proc").join(&pid).is_dir(),
    )?;
    ensure!(
        docker.ok(&["inspect", "-f", "{{.State.ExitCode}}", "orphan"])? != "0",
        "nobody knows how it ended"
    );
    // The next run is a run like any other.
    docker.ok(&["start", "orphan"])?;
    ensure!(docker.ok(&["inspect", "-f", "{{.State.Status}}", "orphan"])? == "running");
    node.finish()
}
