//! What the daemon and a few supervisors use, every second and at rest.

use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gantry_integration::node::BUSYBOX;
use gantry_integration::{Node, cri, leaks, wait};

/// Containers that live through the whole run; their supervisors are watched.
const ANCHORS: u64 = 3;
/// Between two samples.
const EVERY: Duration = Duration::from_secs(1);
/// Longer than a thread of the pool waits for work before it ends.
const SETTLE: Duration = Duration::from_secs(12);

/// The long-lived containers.
pub(crate) struct Anchors {
    supervisors: Vec<u32>,
    /// A container in a pod.
    pod: String,
}

impl Anchors {
    /// Starts them.
    pub(crate) fn start(node: &Node) -> Result<Self> {
        for number in 0..ANCHORS {
            let name = Self::name(number);
            node.docker().ok(&[
                "run",
                "-d",
                "--name",
                &name,
                "--log-opt",
                "max-size=100k",
                "--log-opt",
                "max-file=2",
                "busybox",
                "sh",
                "-c",
                "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.02; done",
            ])?;
        }
        let api = node.cri()?;
        let logs = node.dir().join("logs/anchor");
        let config = cri::pod("anchor", &logs.display().to_string());
        let pod = api.run_pod(config.clone())?;
        let command = ["sh", "-c", "while :; do sleep 1; done"];
        let pod = api.create(&pod, cri::container("c", BUSYBOX, &command), config)?;
        api.start(&pod)?;
        let ours = leaks::processes_of(&node.dir().display().to_string());
        let supervisors = ours
            .iter()
            .filter(|(_, line)| line.contains("gantry-shim"))
            .map(|(pid, _)| pid.unsigned_abs());
        Ok(Self {
            supervisors: supervisors.collect(),
            pod,
        })
    }

    /// One of those that Docker knows.
    pub(crate) fn name(number: u64) -> String {
        format!("anchor{number}")
    }

    /// The one that kubelet knows, by its id.
    pub(crate) fn pod(&self) -> &str {
        &self.pod
    }

    /// Their supervisors' process ids.
    pub(crate) fn supervisors(&self) -> &[u32] {
        &self.supervisors
    }
}

/// Figures of one moment. Memory in MB.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) rss: f64,
    pub(crate) own: f64,
    pub(crate) fds: f64,
    pub(crate) threads: f64,
    /// Of one watched supervisor, on average.
    pub(crate) shim_own: f64,
    pub(crate) shim_fds: f64,
}

/// A sample and what was going on.
pub(crate) type Staged = (String, Sample);

/// Takes them on a thread.
pub(crate) struct Sampler {
    pid: u32,
    shims: Vec<u32>,
    stage: Arc<Mutex<String>>,
    samples: Arc<Mutex<Vec<Staged>>>,
    first_rest: Mutex<Option<Sample>>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Sampler {
    /// Begins.
    pub(crate) fn start(pid: u32, shims: Vec<u32>) -> Self {
        let stage = Arc::new(Mutex::new("start".to_owned()));
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = channel();
        let (at, to, watched) = (Arc::clone(&stage), Arc::clone(&samples), shims.clone());
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let name = at.lock().unwrap_or_else(PoisonError::into_inner).clone();
                to.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((name, take(pid, &watched)));
            }
        });
        Self {
            pid,
            shims,
            stage,
            samples,
            first_rest: Mutex::new(None),
            stop,
            thread,
        }
    }

    /// Names what follows.
    pub(crate) fn stage(&self, name: &str) {
        name.clone_into(&mut self.stage.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until the daemon has come to rest, and takes a sample: the first time long enough for idle threads to
    /// end, later until it is back at the first one's figures, or as long.
    pub(crate) fn rest(&self) -> Result<Sample> {
        self.stage("rest");
        let mut first = self
            .first_rest
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let end = Instant::now() + SETTLE;
        wait::until("the daemon to settle", SETTLE * 2, || {
            let back = first.as_ref().is_some_and(|first| {
                descriptors(self.pid) <= first.fds
                    && number(self.pid, "Threads:") <= first.threads
                    && average(&self.shims, descriptors) <= first.shim_fds
            });
            back || Instant::now() >= end
        })?;
        let sample = take(self.pid, &self.shims);
        if sample.threads == 0.0 {
            anyhow::bail!("gantryd does not run any more");
        }
        let first = first.get_or_insert_with(|| sample.clone());
        if sample.shim_fds > first.shim_fds {
            for line in self.shims.iter().flat_map(|pid| children(*pid)) {
                eprintln!("at rest: {line}");
            }
        }
        Ok(sample)
    }

    /// All samples.
    pub(crate) fn end(self) -> Vec<Staged> {
        drop(self.stop);
        // It panics only if somebody panicked with its samples.
        let _ = self.thread.join();
        std::mem::take(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Of one supervisor, on average.
fn average(shims: &[u32], of: fn(u32) -> f64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    let count = shims.len().max(1) as f64;
    shims.iter().map(|pid| of(*pid)).sum::<f64>() / count
}

/// What a supervisor's children run.
fn children(pid: u32) -> Vec<String> {
    let all = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let line = |child: &str| {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        format!(
            "{child} below supervisor {pid}: {}",
            String::from_utf8_lossy(&line).replace('\0', " ")
        )
    };
    all.split_whitespace().map(line).collect()
}

fn take(pid: u32, shims: &[u32]) -> Sample {
    Sample {
        rss: number(pid, "VmRSS:") / 1024.0,
        own: anonymous(pid),
        fds: descriptors(pid),
        threads: number(pid, "Threads:"),
        shim_own: average(shims, own),
        shim_fds: average(shims, descriptors),
    }
}

fn number(pid: u32, key: &str) -> f64 {
    field(&format!("/proc/{pid}/status"), key)
        .ok()
        .unwrap_or(0.0)
}

/// Memory behind no file: what it has allocated. Its share of common pages is no measure, it grows as others end.
fn anonymous(pid: u32) -> f64 {
    field(&format!("/proc/{pid}/smaps_rollup"), "Anonymous:").unwrap_or(0.0) / 1024.0
}

/// Memory nobody shares: what is shared counts for more as others end.
fn own(pid: u32) -> f64 {
    let file = format!("/proc/{pid}/smaps_rollup");
    let of = |key| field(&file, key).unwrap_or(0.0);
    (of("Private_Clean:") + of("Private_Dirty:")) / 1024.0
}

fn field(file: &str, key: &str) -> Result<f64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    Ok(word.context("no such line")?.parse()?)
}

#[allow(clippy::cast_precision_loss, reason = "a few hundred")]
fn descriptors(pid: u32) -> f64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0.0, |all| all.count() as f64)
}
