//! Life of a pod with one container through CRI: gantryd and containerd, taking turns, each step by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gantry_cri_api::v1;
use gantry_integration::cri::{self, Cri};
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, wait};

use crate::peers::Peer;
use crate::table::{Report, Times};

const STEPS: [&str; 7] = [
    "run pod",
    "create container",
    "start container",
    "stop container",
    "remove container",
    "stop pod",
    "remove pod",
];

/// Measures and reports.
pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let mut contestants = vec![("Gantry", node.cri()?)];
    let peer = Peer::containerd();
    match &peer {
        Ok((peer, socket)) => {
            report.note(format!("containerd: {}", peer.version));
            let api = wait::some("containerd's CRI", Duration::from_secs(20), || {
                Cri::connect(socket).ok()
            })?;
            wait::until("containerd's network", Duration::from_secs(20), || {
                ready(&api)
            })
            .context("containerd")?;
            contestants.push(("containerd", api));
        }
        Err(error) => report.note(format!("containerd did not start: {error:#}")),
    }
    let logs = tempfile::tempdir()?;
    let mut steps: Vec<Times> = STEPS.iter().map(|_| Times::default()).collect();
    let mut whole = Times::default();
    for round in 0..=rounds {
        for (name, api) in &contestants {
            let taken = life(
                api,
                &format!("bench{round}"),
                &logs.path().display().to_string(),
            )
            .with_context(|| format!("a pod's life with {name}"))?;
            if round > 0 {
                whole.add(name, taken.iter().sum());
                steps
                    .iter_mut()
                    .zip(taken)
                    .for_each(|(times, time)| times.add(name, time));
            }
        }
    }
    report.times("CRI: pod and container, whole life", &whole);
    for (what, times) in STEPS.iter().zip(&steps) {
        report.times(&format!("CRI: {what}"), times);
    }
    node.finish()
}

pub(crate) fn ready(api: &Cri) -> bool {
    let status = api.wait(api.runtime().status(v1::StatusRequest { verbose: false }));
    status.is_ok_and(|s| {
        s.status
            .is_some_and(|s| s.conditions.iter().all(|c| c.status))
    })
}

fn life(api: &Cri, name: &str, logs: &str) -> Result<Vec<Duration>> {
    let mut taken = Vec::new();
    let mut begun = Instant::now();
    let mut lap = || {
        let time = begun.elapsed();
        begun = Instant::now();
        taken.push(time);
    };
    let config = cri::pod(name, logs);
    let pod = api.run_pod(config.clone())?;
    lap();
    let id = api.create(
        &pod,
        cri::container(name, BUSYBOX, &["sleep", "1000"]),
        config,
    )?;
    lap();
    api.start(&id)?;
    lap();
    api.stop(&id, 0)?;
    lap();
    api.remove(&id)?;
    lap();
    api.wait(api.runtime().stop_pod_sandbox(v1::StopPodSandboxRequest {
        pod_sandbox_id: pod.clone(),
    }))?;
    lap();
    api.wait(
        api.runtime()
            .remove_pod_sandbox(v1::RemovePodSandboxRequest {
                pod_sandbox_id: pod,
            }),
    )?;
    lap();
    Ok(taken)
}
