//! How fast a container's output reaches an attached client, and an exec's its own: gantryd and dockerd in turns, the
//! log switched off, the client a plain socket.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gantry_integration::Node;
use gantry_integration::http::Open;

use crate::api::Api;
use crate::peers::Peer;
use crate::table::Report;

/// Bytes a round.
const AMOUNT: u64 = 512 << 20;
const WRITER: &str = r#"["head","-c","536870912","/dev/zero"]"#;

/// Measures and reports.
pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<()> {
    let node = Node::start()?;
    node.load_busybox()?;
    let mut contestants = vec![("Gantry", Api::of(&node.docker()))];
    let peer = Peer::dockerd();
    match &peer {
        Ok((_, docker)) => contestants.push(("dockerd", Api::of(docker))),
        Err(error) => report.note(format!("dockerd did not start: {error:#}")),
    }
    let mut attached: Vec<(&str, Vec<f64>)> = contestants
        .iter()
        .map(|(who, _)| (*who, Vec::new()))
        .collect();
    let mut execs = attached.clone();
    for _ in 0..rounds {
        for (at, (who, api)) in contestants.iter().enumerate() {
            attached[at]
                .1
                .push(attach(api).with_context(|| format!("attach with {who}"))?);
            execs[at]
                .1
                .push(exec(api).with_context(|| format!("exec with {who}"))?);
        }
    }
    report.rates("output of an attached container", "MB/s", &attached);
    report.rates("output of an exec", "MB/s", &execs);
    node.finish()
}

fn attach(api: &Api) -> Result<f64> {
    let id = api.create(
        WRITER,
        r#","AttachStdout":true,"HostConfig":{"NetworkMode":"none","LogConfig":{"Type":"none"}}"#,
    )?;
    let open = api.hijack(&format!("/containers/{id}/attach?stream=1&stdout=1"), "")?;
    api.start(&id)?;
    let rate = rate(open);
    api.remove(&id)?;
    rate
}

fn exec(api: &Api) -> Result<f64> {
    let id = api.create(
        r#"["sleep","100000"]"#,
        r#","HostConfig":{"NetworkMode":"none"}"#,
    )?;
    api.start(&id)?;
    let rate = api.exec(&id, WRITER).and_then(rate);
    api.remove(&id)?;
    rate
}

/// MB a second from the first byte to the end.
fn rate(mut open: Open) -> Result<f64> {
    let mut piece = vec![0; 1 << 20];
    let mut all = open.begun.len() as u64;
    let mut begun = (all > 0).then(Instant::now);
    open.stream
        .set_read_timeout(Some(Duration::from_secs(60)))?;
    loop {
        let count = open.stream.read(&mut piece)?;
        if count == 0 {
            break;
        }
        begun.get_or_insert_with(Instant::now);
        all += count as u64;
    }
    let time = begun.context("no output at all")?.elapsed().as_secs_f64();
    ensure!(all >= AMOUNT, "{all} bytes of {AMOUNT} came");
    #[allow(clippy::cast_precision_loss, reason = "megabytes")]
    Ok(all as f64 / f64::from(1 << 20) / time)
}
