//! Latency of an exec of `true`: Docker's way beside dockerd, CRI's beside containerd, in turns and without client
//! programs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gantry_integration::cri::{self, Cri};
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, wait};

use crate::api::Api;
use crate::cri_life::ready;
use crate::peers::Peer;
use crate::table::{Report, Times};

/// Measures and reports.
pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    docker(&node, report, rounds)?;
    cri(&node, report, rounds)?;
    node.finish()
}

fn docker(node: &Node, report: &mut Report, rounds: usize) -> Result<()> {
    let mut contestants = vec![("Gantry", Api::of(&node.docker()))];
    let peer = Peer::dockerd();
    match &peer {
        Ok((_, docker)) => contestants.push(("dockerd", Api::of(docker))),
        Err(error) => report.note(format!("dockerd did not start: {error:#}")),
    }
    let mut running = Vec::new();
    for (name, api) in contestants {
        let id = api.create(r#"["sleep","100000"]"#, "")?;
        api.start(&id)?;
        running.push((name, api, id));
    }
    let mut times = Times::default();
    let mut failed = None;
    'rounds: for round in 0..=rounds {
        for (name, api, id) in &running {
            let begun = Instant::now();
            match api.exec(id, r#"["true"]"#) {
                // To the end of its output: the client's next question is its exit code.
                Ok(mut open) => drop(open.read(1 << 20)),
                Err(error) => {
                    failed = Some(error.context(*name));
                    break 'rounds;
                }
            }
            if round > 0 {
                times.add(name, begun.elapsed());
            }
        }
    }
    // dockerd leaves its containers running when it ends.
    for (_, api, id) in &running {
        api.remove(id)?;
    }
    failed.map_or(Ok(()), Err)?;
    report.times("exec of `true` through Docker's API", &times);
    Ok(())
}

fn cri(node: &Node, report: &mut Report, rounds: usize) -> Result<()> {
    let mut contestants = vec![("Gantry", node.cri()?)];
    let peer = Peer::containerd();
    match &peer {
        Ok((_, socket)) => {
            let limit = Duration::from_secs(20);
            let api = wait::some("containerd's CRI", limit, || Cri::connect(socket).ok())?;
            wait::until("containerd's network", limit, || ready(&api))?;
            contestants.push(("containerd", api));
        }
        Err(error) => report.note(format!("containerd did not start: {error:#}")),
    }
    let logs = tempfile::tempdir()?;
    let mut running = Vec::new();
    for (name, api) in contestants {
        let config = cri::pod("exec", &logs.path().join(name).display().to_string());
        let pod = api.run_pod(config.clone())?;
        let sleeper = cri::container("c", BUSYBOX, &["sleep", "100000"]);
        let id = api.create(&pod, sleeper, config)?;
        api.start(&id)?;
        running.push((name, api, pod, id));
    }
    let mut times = Times::default();
    for round in 0..=rounds {
        for (name, api, _, id) in &running {
            let begun = Instant::now();
            let answer = api
                .exec(id, &["true"], 10)
                .with_context(|| format!("exec with {name}"))?;
            let time = begun.elapsed();
            ensure!(answer.exit_code == 0, "{name}: {answer:?}");
            if round > 0 {
                times.add(name, time);
            }
        }
    }
    for (_, api, pod, _) in &running {
        api.remove_pod(pod)?;
    }
    report.times("CRI: ExecSync of `true`", &times);
    Ok(())
}
