//! `docker run --rm busybox true` on each network: gantryd and dockerd, by the same client, taking turns.

use std::time::{Duration, Instant};

use anyhow::Result;
use gantry_integration::Node;
use gantry_integration::docker::Docker;

use crate::peers::Peer;
use crate::table::{Report, Times};

/// Measures and reports.
pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let mut contestants = vec![("Gantry", node.docker())];
    let peer = Peer::dockerd();
    match &peer {
        Ok((peer, docker)) => {
            report.note(format!("dockerd: {}", peer.version));
            contestants.push(("dockerd", docker.clone()));
        }
        Err(error) => report.note(format!("dockerd did not start: {error:#}")),
    }
    for network in ["bridge", "none", "host"] {
        let mut times = Times::default();
        for round in 0..=rounds {
            for (name, docker) in &contestants {
                let time = once(
                    docker,
                    &["run", "--rm", "--network", network, "busybox", "true"],
                )?;
                // The first one warms caches up.
                if round > 0 {
                    times.add(name, time);
                }
            }
        }
        report.times(
            &format!("`docker run --rm --network {network} busybox true`"),
            &times,
        );
    }
    let mut times = Times::default();
    for (_, docker) in &contestants {
        docker.ok(&["run", "-d", "--name", "bench", "busybox", "sleep", "100000"])?;
    }
    for _ in 0..rounds {
        for (name, docker) in &contestants {
            times.add(name, once(docker, &["exec", "bench", "true"])?);
        }
    }
    report.times("`docker exec c true`", &times);
    let mut times = Times::default();
    for _ in 0..rounds {
        for (name, docker) in &contestants {
            times.add(name, once(docker, &["version"])?);
        }
    }
    report.times("`docker version` (the client alone, nearly)", &times);
    for (_, docker) in &contestants {
        docker.ok(&["rm", "-f", "bench"])?;
    }
    node.finish()
}

fn once(docker: &Docker, args: &[&str]) -> Result<Duration> {
    let begun = Instant::now();
    docker.ok(args)?;
    Ok(begun.elapsed())
}
