//! The machine was booted while containers ran: nothing of the time before is believed, kernel objects are made anew, and
//! restart policies act as after a boot.
//!
//! A test cannot boot the machine it runs on, so it changes the past: every process, link, rule and cgroup of the instance
//! is taken away, and what was written down says another boot.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_cri_api::v1;
use gantry_integration::docker::Docker;
use gantry_integration::netns::NetNs;
use gantry_integration::{Node, cases, cri, leaks, node, wait, web};
use gantry_store::{Batch, Store, Table};
use serde_json::Value;

cases![
    policies_act_as_after_a_boot,
    stale_state_is_never_believed,
    a_restarted_daemon_is_no_boot,
];

const LIMIT: Duration = Duration::from_secs(30);
const FOREVER: [&str; 3] = ["busybox", "sleep", "100000"];

fn field(docker: &Docker, name: &str, what: &str) -> Result<String> {
    docker.ok(&["inspect", "-f", &format!("{{{{{what}}}}}"), name])
}

fn run(docker: &Docker, name: &str, more: &[&str]) -> Result<String> {
    docker.ok(&[&["run", "-d", "--name", name], more, &FOREVER].concat())
}

/// What of the run folder is there after the boot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RunFolder {
    /// It was on a tmpfs, as /run is.
    Gone,
    /// It was on a disk, and its files tell of processes that are long gone.
    Stale,
}

/// Ends everything at once, as a power cut does, and lets the records speak of an earlier boot.
fn power_cut(node: &mut Node, folder: RunFolder, stranger: Option<&Child>) -> Result<()> {
    let frozen = node.docker().ok(&["ps", "-q", "-f", "status=paused"])?;
    node.kill()?;
    // A boot ends what is frozen as well; a kill alone does not, on cgroup v1.
    for id in frozen.lines() {
        thaw(Path::new("/sys/fs/cgroup"), id)?;
    }
    leaks::sweep(node);
    // Links, addresses, rules and the bridge go with their namespace.
    node.net = NetNs::new()?;
    let store = Store::open(&node.root().join("gantry.redb"))?;
    let mut batch = Batch::new();
    batch.put(
        Table::Meta,
        "boot-id",
        "00000000-0000-0000-0000-000000000000",
    )?;
    store.commit_blocking(batch)?;
    drop(store);
    match folder {
        RunFolder::Gone => std::fs::remove_dir_all(node.run()).context("empty the run folder"),
        RunFolder::Stale => {
            let shims = std::fs::read_dir(node.run().join("shims"))?;
            for shim in shims {
                age(&shim?.path().join("state.json"), stranger)?;
            }
            Ok(())
        }
    }
}

/// Lets everything in the cgroups of a container go on, wherever below `folder` they are.
fn thaw(folder: &Path, id: &str) -> Result<()> {
    // Those of other tests come and go meanwhile.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        thaw(&path, id)?;
        if entry.file_name().to_string_lossy().starts_with(id) {
            for (file, text) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
                let file = path.join(file);
                if file.try_exists()? {
                    std::fs::write(file, text)?;
                }
            }
        }
    }
    Ok(())
}

/// The state of a supervisor of an earlier boot; its pid is somebody else's now.
fn age(state: &Path, stranger: Option<&Child>) -> Result<()> {
    let mut record: Value = serde_json::from_slice(&std::fs::read(state)?)?;
    record["boot_id"] = "00000000-0000-0000-0000-000000000000".into();
    if let Some(stranger) = stranger {
        record["pid"] = stranger.id().into();
        for task in record["tasks"].as_array_mut().into_iter().flatten() {
            task["pid"] = stranger.id().into();
        }
    }
    std::fs::write(state, serde_json::to_vec(&record)?)?;
    Ok(())
}

fn policies_act_as_after_a_boot() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    docker.ok(&["volume", "create", "kept"])?;
    let web = "echo here > /data/index.html; exec httpd -f -p 80 -h /data";
    docker.ok(&[
        "run",
        "-d",
        "--name",
        "always",
        "--restart",
        "always",
        "-p",
        "18080:80",
        "-v",
        "kept:/data",
        "busybox",
        "sh",
        "-c",
        web,
    ])?;
    run(&docker, "always-stopped", &["--restart", "always"])?;
    run(&docker, "unless", &["--restart", "unless-stopped"])?;
    run(&docker, "unless-stopped", &["--restart", "unless-stopped"])?;
    run(&docker, "failure", &["--restart", "on-failure"])?;
    run(&docker, "none", &[])?;
    run(&docker, "paused", &[])?;
    run(&docker, "rm", &["--rm"])?;
    docker.ok(&["stop", "-t", "0", "always-stopped", "unless-stopped"])?;
    docker.ok(&["pause", "paused"])?;
    power_cut(&mut node, RunFolder::Gone, None)?;
    node.restart()?;
    let docker = node.docker();
    let running = |name: &str| field(&docker, name, ".State.Running").is_ok_and(|v| v == "true");
    for name in ["always", "always-stopped", "unless", "failure"] {
        wait::until(&format!("{name} to run again"), LIMIT, || running(name))?;
    }
    for name in ["none", "paused"] {
        ensure!(field(&docker, name, ".State.Status")? == "exited", "{name}");
        ensure!(field(&docker, name, ".State.ExitCode")? == "255", "{name}");
    }
    ensure!(field(&docker, "unless-stopped", ".State.Status")? == "exited");
    ensure!(field(&docker, "unless-stopped", ".State.ExitCode")? == "137");
    // What runs, runs in a network made anew.
    web::get_when_up(&node.net, "127.0.0.1:18080")?;
    ensure!(docker.ok(&["exec", "always", "cat", "/data/index.html"])? == "here");
    wait::until("the --rm container to go", LIMIT, || {
        docker.ok(&["inspect", "rm"]).is_err()
    })?;
    // What did not run is not lost either.
    docker.ok(&["start", "none"])?;
    docker.ok(&["exec", "none", "true"])?;
    let all = docker.ok(&["ps", "-aq"])?;
    let all: Vec<&str> = all.lines().collect();
    docker.ok(&[&["rm", "-f"][..], &all].concat())?;
    docker.ok(&["volume", "rm", "kept"])?;
    node.finish()
}

fn stale_state_is_never_believed() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    run(&docker, "old", &[])?;
    let cri = node.cri()?;
    let config = cri::pod("pod", "");
    let pod = cri.run_pod(config.clone())?;
    let spec = cri::container("c", node::BUSYBOX, &["sleep", "100000"]);
    let container = cri.create(&pod, spec, config.clone())?;
    cri.start(&container)?;
    // Somebody else has the pids of before.
    let mut stranger = Command::new("sleep").arg("1000").spawn()?;
    let done = (|| {
        power_cut(&mut node, RunFolder::Stale, Some(&stranger))?;
        node.restart()?;
        let docker = node.docker();
        ensure!(field(&docker, "old", ".State.Status")? == "exited");
        ensure!(field(&docker, "old", ".State.ExitCode")? == "255");
        let cri = node.cri()?;
        let status = cri.status(&container)?;
        ensure!(
            status.state() == v1::ContainerState::ContainerExited && status.exit_code == 255,
            "{status:?}"
        );
        let request = v1::PodSandboxStatusRequest {
            pod_sandbox_id: pod.clone(),
            verbose: false,
        };
        let sandbox = cri.wait(cri.runtime().pod_sandbox_status(request))?.status;
        let sandbox = sandbox.context("the pod has no status")?;
        ensure!(
            sandbox.state() == v1::PodSandboxState::SandboxNotready,
            "{sandbox:?}"
        );
        docker.ok(&["start", "old"])?;
        docker.ok(&["exec", "old", "true"])?;
        docker.ok(&["rm", "-f", "old"])?;
        cri.remove_pod(&pod)?;
        // A pod of the same name can be made at once.
        let again = cri.run_pod(config)?;
        cri.remove_pod(&again)?;
        ensure!(
            stranger.try_wait()?.is_none(),
            "a process that has nothing to do with Gantry was ended"
        );
        Ok(())
    })();
    stranger.kill()?;
    stranger.wait()?;
    done?;
    node.finish()
}

fn a_restarted_daemon_is_no_boot() -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let docker = node.docker();
    run(&docker, "stopped", &["--restart", "always"])?;
    run(&docker, "runs", &["--restart", "always"])?;
    docker.ok(&["stop", "-t", "0", "stopped"])?;
    let before = field(&docker, "runs", ".State.Pid")?;
    node.kill()?;
    node.restart()?;
    ensure!(field(&docker, "runs", ".State.Pid")? == before);
    // The last thing the start does is the policies' work: once a new container has come and gone, it is done.
    docker.ok(&["run", "--rm", "busybox", "true"])?;
    ensure!(field(&docker, "stopped", ".State.Status")? == "exited");
    docker.ok(&["rm", "-f", "stopped", "runs"])?;
    node.finish()
}
