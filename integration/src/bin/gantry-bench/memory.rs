//! Memory of a daemon and its supervisors, without and with 20 containers: the proportional set size, in which a page
//! shared by n processes counts as 1/n.

use anyhow::Result;
use gantry_integration::docker::Docker;
use gantry_integration::{Node, leaks};

use crate::peers::Peer;
use crate::table::Report;

const CONTAINERS: u32 = 20;

/// Proportional set size of a process in MB; 0 if it is gone.
pub(crate) fn pss(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("Pss:"));
    let kb = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

/// Measures and reports.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let peer = Peer::dockerd()
        .inspect_err(|e| report.note(format!("dockerd did not start: {e:#}")))
        .ok();
    let ours = || {
        let shims = leaks::processes_of(&node.dir().display().to_string());
        let shims = shims
            .iter()
            .filter(|(_, line)| line.contains("gantry-shim"));
        (
            pss(node.pid()),
            shims.map(|(pid, _)| pss(pid.unsigned_abs())).sum::<f64>(),
        )
    };
    let theirs = || peer.as_ref().map(|(p, _)| p.memory());
    let (ours_idle, theirs_idle) = (ours(), theirs());
    fill(&node.docker())?;
    let filled = peer.as_ref().map(|(_, docker)| fill(docker)).transpose();
    let (ours_full, theirs_full) = (ours(), theirs());
    // dockerd leaves its containers running when it ends: without this they would be nobody's.
    if let Some((_, docker)) = &peer {
        empty(docker)?;
    }
    filled?;
    let row = |ours: f64, theirs: Option<f64>| {
        vec![
            ("Gantry".to_owned(), Some(ours)),
            ("dockerd with its containerd".to_owned(), theirs),
        ]
    };
    report.values(
        "memory of the daemon, no container",
        "MB",
        row(ours_idle.0, theirs_idle.map(|t| t.0)),
    );
    let what = format!("memory of the daemon, {CONTAINERS} containers");
    report.values(&what, "MB", row(ours_full.0, theirs_full.map(|t| t.0)));
    let each = |all: f64| all / f64::from(CONTAINERS);
    let what = format!("memory of one supervisor of {CONTAINERS} (theirs: containerd-shim)");
    report.values(
        &what,
        "MB",
        row(each(ours_full.1), theirs_full.map(|t| each(t.1))),
    );
    node.finish()
}

fn fill(docker: &Docker) -> Result<()> {
    for number in 0..CONTAINERS {
        docker.ok(&[
            "run",
            "-d",
            "--name",
            &format!("m{number}"),
            "busybox",
            "sleep",
            "100000",
        ])?;
    }
    Ok(())
}

fn empty(docker: &Docker) -> Result<()> {
    let all = docker.ok(&["ps", "-aq"])?;
    let mut command = vec!["rm", "-f"];
    command.extend(all.lines());
    docker.ok(&command).map(drop)
}
