//! Figures of running containers, read beside those who ask for them.
//!
//! Invariant: whoever asks is answered from memory. One task reads the figures: every second those of containers that
//! somebody watches, every ten seconds those of the others. A supervisor that does not answer delays nobody: there is
//! one question to it at a time, with a short deadline, and after it has missed one it is asked in a lane of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use gantry_model::state::State;
use gantry_model::supervisor::Stats;
use gantry_model::{ContainerId, Error, Result};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::Engine;
use crate::inner::{Inner, lock};

/// Between two readings of a container somebody watches.
const WATCHED: Duration = Duration::from_secs(1);

/// Between two readings of the others.
const UNWATCHED: Duration = Duration::from_secs(10);

/// How long a supervisor may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Supervisors asked at the same time.
const LANE: usize = 32;

/// Of those that have missed a deadline.
const SLOW_LANE: usize = 8;

/// One reading of a container's figures, with the host's CPU time at that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// What its cgroup says.
    pub stats: Stats,
    /// Nanoseconds of CPU time that all CPUs of the host have spent so far, idle time included.
    pub system_cpu: u64,
}

/// The last two readings of one run: use of CPU is the difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// The newest.
    pub last: Arc<Sample>,
    /// The one before it, if there is one.
    pub before: Option<Arc<Sample>>,
}

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatsUpdate {
    /// New figures.
    Sampled(Samples),
    /// It does not run; told about once a second.
    NotRunning,
    /// Its supervisor did not answer in time; what was read before, if anything was.
    Silent(Option<Samples>),
}

/// A container whose figures somebody watches. While this lives they are read once a second.
pub struct StatsWatch {
    sampler: Weak<Inner>,
    id: ContainerId,
    updates: watch::Receiver<Option<StatsUpdate>>,
}

impl StatsWatch {
    /// The next figures, about once a second; every few seconds that there are none. `None` when the container was
    /// removed. Cancel safe.
    pub async fn next(&mut self) -> Option<StatsUpdate> {
        loop {
            self.updates.changed().await.ok()?;
            let update = self.updates.borrow_and_update().clone();
            if update.is_some() {
                return update;
            }
        }
    }
}

impl Drop for StatsWatch {
    fn drop(&mut self) {
        if let Some(inner) = self.sampler.upgrade()
            && let Some(entry) = lock(&inner.sampler.entries).get_mut(&self.id)
        {
            entry.watchers = entry.watchers.saturating_sub(1);
        }
    }
}

impl Engine {
    /// A container's last figures, from memory. `None` when it does not run, and in the first moments after its start.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn sampled_stats(&self, id: &ContainerId) -> Result<Option<Samples>> {
        let container = self.inner.container(id)?;
        if !container.state.is_live() {
            return Ok(None);
        }
        let run = container.run.as_ref().map_or(0, |run| run.number);
        let entries = lock(&self.inner.sampler.entries);
        let entry = entries.get(id).filter(|entry| entry.run == run);
        Ok(entry.and_then(|entry| entry.samples.clone()))
    }

    /// Watches a container's figures: the first come at once if it runs, then once a second.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn watch_stats(&self, id: &ContainerId) -> Result<StatsWatch> {
        self.inner.container(id)?;
        let updates = {
            let mut entries = lock(&self.inner.sampler.entries);
            let entry = entries.entry(id.clone()).or_default();
            entry.watchers += 1;
            entry.tried = None;
            entry.updates.subscribe()
        };
        // Removed between the look and the entry: nobody would take the entry away.
        if let Err(gone) = self.inner.container(id) {
            self.inner.sampler.forget(id);
            return Err(gone);
        }
        self.inner.sampler.wake.notify_one();
        Ok(StatsWatch {
            sampler: Arc::downgrade(&self.inner),
            id: id.clone(),
            updates,
        })
    }
}

/// The sampler's part of the engine.
pub(crate) struct Sampler {
    entries: Mutex<HashMap<ContainerId, Entry>>,
    wake: Arc<Notify>,
    lane: Arc<Semaphore>,
    slow_lane: Arc<Semaphore>,
}

struct Entry {
    run: u32,
    samples: Option<Samples>,
    watchers: usize,
    updates: watch::Sender<Option<StatsUpdate>>,
    /// When it was last asked; `None`: ask at once.
    tried: Option<Instant>,
    /// A question is under way.
    asked: bool,
    /// The last question was not answered in time.
    slow: bool,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            run: 0,
            samples: None,
            watchers: 0,
            updates: watch::channel(None).0,
            tried: None,
            asked: false,
            slow: false,
        }
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            wake: Arc::default(),
            lane: Arc::new(Semaphore::new(LANE)),
            slow_lane: Arc::new(Semaphore::new(SLOW_LANE)),
        }
    }
}

impl Sampler {
    /// A container is gone: its watchers are told by the end of their channel.
    pub(crate) fn forget(&self, id: &ContainerId) {
        lock(&self.entries).remove(id);
    }

    /// A run has begun: its first figures are read soon.
    pub(crate) fn begin(&self, id: &ContainerId) {
        lock(&self.entries).entry(id.clone()).or_default().tried = None;
        self.wake.notify_one();
    }

    /// Takes up the question whose turn it is; false when there is none now.
    fn take(&self, id: &ContainerId, run: u32, now: Instant) -> Option<Arc<Semaphore>> {
        let mut entries = lock(&self.entries);
        let entry = entries.entry(id.clone()).or_default();
        if entry.run != run {
            entry.run = run;
            entry.samples = None;
            entry.tried = None;
        }
        let pause = if entry.watchers > 0 {
            WATCHED
        } else {
            UNWATCHED
        };
        // A tick comes a moment early or late; that must not cost a watcher every second reading.
        let due = entry
            .tried
            .is_none_or(|tried| now.duration_since(tried) + WATCHED / 4 >= pause);
        if entry.asked || !due {
            return None;
        }
        entry.asked = true;
        entry.tried = Some(now);
        Some(Arc::clone(if entry.slow {
            &self.slow_lane
        } else {
            &self.lane
        }))
    }

    fn answer(&self, id: &ContainerId, run: u32, answer: Option<Sample>) {
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.get_mut(id) else {
            return;
        };
        entry.asked = false;
        entry.slow = answer.is_none();
        if entry.run != run {
            return;
        }
        let Some(sample) = answer else {
            let silent = StatsUpdate::Silent(entry.samples.clone());
            entry.updates.send_replace(Some(silent));
            return;
        };
        let samples = Samples {
            last: Arc::new(sample),
            before: entry.samples.take().map(|samples| samples.last),
        };
        entry.samples = Some(samples.clone());
        entry
            .updates
            .send_replace(Some(StatsUpdate::Sampled(samples)));
    }

    /// It does not run: what was read of its last run goes, and who watches is told.
    fn idle(&self, id: &ContainerId) {
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.get_mut(id) else {
            return;
        };
        entry.samples = None;
        entry.tried = None;
        if entry.watchers > 0 {
            entry.updates.send_replace(Some(StatsUpdate::NotRunning));
        } else if !entry.asked {
            entries.remove(id);
        }
    }
}

/// Starts the task. It ends with the engine.
pub(crate) fn begin(inner: &Arc<Inner>) {
    let inner = Arc::downgrade(inner);
    tokio::spawn(async move {
        loop {
            let Some(engine) = inner.upgrade() else {
                return;
            };
            tick(&engine);
            let wake = Arc::clone(&engine.sampler.wake);
            // Not held while waiting, so that the engine can end.
            drop(engine);
            let _ = tokio::time::timeout(WATCHED, wake.notified()).await;
        }
    });
}

/// Asks everybody whose turn it is.
fn tick(inner: &Arc<Inner>) {
    let now = Instant::now();
    let containers: Vec<_> = {
        let tables = inner.ledger.read();
        // One that was removed while its first figures were asked for.
        lock(&inner.sampler.entries).retain(|id, _| tables.containers.contains_key(id));
        let all = tables.containers.values();
        all.map(|seen| Arc::clone(&seen.borrow().container))
            .collect()
    };
    for container in containers {
        match container.state {
            State::Running | State::Paused => {}
            // Its supervisor cannot be asked; what was read last stays.
            State::Unknown => continue,
            _ => {
                inner.sampler.idle(&container.id);
                continue;
            }
        }
        let run = container.run.as_ref().map_or(0, |run| run.number);
        if let Some(lane) = inner.sampler.take(&container.id, run, now) {
            let (inner, id) = (Arc::clone(inner), container.id.clone());
            tokio::spawn(async move {
                let answer = ask(&inner, &id, &lane).await;
                if let Err(error) = &answer {
                    tracing::debug!(container = %id, %error, "reading figures");
                }
                inner.sampler.answer(&id, run, answer.ok());
            });
        }
    }
}

async fn ask(inner: &Arc<Inner>, id: &ContainerId, lane: &Semaphore) -> Result<Sample> {
    let closed = |_| Error::internal("the sampler's lane is closed");
    let _turn = lane.acquire().await.map_err(closed)?;
    let question = async {
        let handle = inner.supervisor_of(id).await?;
        let stats = handle.stats(&inner.call(PATIENCE), id).await?;
        let host = inner.host.read_file("/proc/stat").await.unwrap_or_default();
        Ok(Sample {
            stats,
            system_cpu: system_cpu(&host),
        })
    };
    let late = |_| Error::unavailable("the supervisor did not answer in time");
    tokio::time::timeout(PATIENCE, question)
        .await
        .map_err(late)?
}

/// Nanoseconds of CPU time of all CPUs, from the first line of `/proc/stat`: user nice system idle iowait irq softirq
/// steal, in hundredths of a second (proc(5)). Guest time is in user time already.
fn system_cpu(stat: &[u8]) -> u64 {
    let line = stat.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let ticks: u64 = String::from_utf8_lossy(line)
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|number| number.parse::<u64>().ok())
        .sum();
    ticks.saturating_mul(10_000_000)
}

#[cfg(test)]
mod tests;
