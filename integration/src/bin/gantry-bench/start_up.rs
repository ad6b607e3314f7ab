//! From exec of the daemon to its first answer, with so many containers known: gantryd and dockerd in turns.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gantry_integration::{Node, wait};

use crate::api::Api;
use crate::peers::Peer;
use crate::table::{Report, Times};

/// Containers that were created and do not run.
const STOPPED: [usize; 3] = [0, 100, 1000];
/// Containers that run, in the last row.
const RUNNING: usize = 100;
const LIMIT: Duration = Duration::from_secs(120);

/// Measures and reports.
pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<()> {
    let mut node = Node::start()?;
    node.load_busybox()?;
    let mut peer = Peer::dockerd()
        .inspect_err(|e| report.note(format!("dockerd did not start: {e:#}")))
        .ok();
    let ours = Api::of(&node.docker());
    let theirs = peer.as_ref().map(|(_, docker)| Api::of(docker));
    let (mut made, mut result) = (Vec::new(), Ok(()));
    for count in STOPPED {
        while made.len() < count {
            let more = format!(r#","Labels":{{"number":"{}"}}"#, made.len());
            let create = |api: &Api| api.create(r#"["sleep","100000"]"#, &more);
            made.push((create(&ours)?, theirs.as_ref().map(create).transpose()?));
        }
        let what = format!("from exec to serving, {count} containers known");
        result = turns(report, &what, rounds, &mut node, &mut peer);
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        for (our, their) in made.iter().take(RUNNING) {
            ours.start(our)?;
            if let (Some(api), Some(id)) = (&theirs, their) {
                api.start(id)?;
            }
        }
        let what = format!("from exec to serving, {RUNNING} of them running");
        result = turns(report, &what, rounds, &mut node, &mut peer);
    }
    // dockerd leaves its containers running when it ends.
    for (our, their) in &made {
        ours.remove(our)?;
        if let (Some(api), Some(id)) = (&theirs, their) {
            api.remove(id)?;
        }
    }
    result?;
    node.finish()
}

fn turns(
    report: &mut Report,
    what: &str,
    rounds: usize,
    node: &mut Node,
    peer: &mut Option<(Peer, gantry_integration::docker::Docker)>,
) -> Result<()> {
    eprintln!("{what}");
    let mut times = Times::default();
    for _ in 0..rounds {
        node.stop()?;
        let api = Api::of(&node.docker());
        let begun = Instant::now();
        node.launch(&[])?;
        serves(&api, "gantryd")?;
        times.add("Gantry", begun.elapsed());
        if let Some((peer, docker)) = peer {
            peer.stop()?;
            let api = Api::of(docker);
            let begun = Instant::now();
            peer.launch()?;
            serves(&api, "dockerd")?;
            times.add("dockerd", begun.elapsed());
        }
    }
    report.times(what, &times);
    Ok(())
}

fn serves(api: &Api, who: &str) -> Result<()> {
    wait::closely(LIMIT, || api.serves()).with_context(|| format!("{who} to serve"))
}
