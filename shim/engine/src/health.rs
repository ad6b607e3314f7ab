//! Health checks: one task for each run in progress, which probes by an exec and keeps what came out.
//!
//! What a probe's result means is decided in [`machine`], without clock or process. Results live in memory beside the
//! records; a change of status is written to the store, so that a restart of the daemon does not make a healthy
//! container start over. A probe that changes nothing costs no write.
//!
//! There is never more than one probe of a container: the next one waits for the end of the last, and a probe's exec is
//! tied to the connection of the daemon that asked for it, so that one left by a killed daemon is killed too.

mod machine;
mod probe;
mod spec;

pub use spec::image_health;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_model::container::Container;
use gantry_model::policy::{Health, HealthStatus};
use gantry_model::state::State;
use gantry_model::{ContainerId, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Engine;
use crate::change::Item;
use crate::inner::{Inner, lock};
use crate::ledger::Seen;
use machine::Machine;

/// What the store knows of a container's health: as of its last change of status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// The run it belongs to.
    pub(crate) run: u32,
    pub(crate) health: Health,
}

/// The health of all containers that have a check and were started.
#[derive(Default)]
pub(crate) struct Monitors(Mutex<HashMap<ContainerId, Entry>>);

struct Entry {
    record: Record,
    /// A task looks after this run.
    watched: bool,
}

impl Monitors {
    /// What the store knew at the start of the daemon.
    pub(crate) fn restore(&self, records: impl IntoIterator<Item = (ContainerId, Record)>) {
        let entry = |record| Entry {
            record,
            watched: false,
        };
        lock(&self.0).extend(records.into_iter().map(|(id, record)| (id, entry(record))));
    }

    /// A container is gone.
    pub(crate) fn forget(&self, id: &ContainerId) {
        lock(&self.0).remove(id);
    }

    fn get(&self, id: &ContainerId) -> Health {
        let entries = lock(&self.0);
        entries
            .get(id)
            .map_or_else(Health::default, |entry| entry.record.health.clone())
    }

    /// Takes a run under watch, unless it is already. Answers what is known of it.
    fn take(&self, id: &ContainerId, run: u32) -> Option<Health> {
        let mut entries = lock(&self.0);
        let entry = entries.entry(id.clone()).or_insert_with(|| Entry {
            record: Record::default(),
            watched: false,
        });
        if entry.record.run == run && entry.watched {
            return None;
        }
        if entry.record.run != run || entry.record.health.status == HealthStatus::None {
            entry.record.run = run;
            entry.record.health.status = HealthStatus::Starting;
            entry.record.health.failing_streak = 0;
        }
        entry.watched = true;
        Some(entry.record.health.clone())
    }

    /// Shows a run's health, unless another run has begun.
    fn show(&self, id: &ContainerId, run: u32, health: &Health) {
        if let Some(entry) = lock(&self.0).get_mut(id)
            && entry.record.run == run
        {
            entry.record.health.clone_from(health);
        }
    }

    fn release(&self, id: &ContainerId, run: u32) {
        if let Some(entry) = lock(&self.0).get_mut(id)
            && entry.record.run == run
        {
            entry.watched = false;
        }
    }
}

impl Engine {
    /// A container's health, from memory. Without a check, and before its first start, its status is `None`; while the
    /// container does not run, the status of one with a check is `Unhealthy`, as Docker has it.
    pub fn health(&self, id: &ContainerId) -> Health {
        let mut health = self.inner.health.get(id);
        let runs = self
            .inner
            .container(id)
            .is_ok_and(|container| matches!(container.state, State::Running | State::Unknown));
        if !runs && health.status != HealthStatus::None {
            health.status = HealthStatus::Unhealthy;
        }
        health
    }
}

impl Inner {
    /// A run has begun, or was found running by a daemon that starts: its figures are read and its health is looked
    /// after from now on. Safe to call again.
    pub(crate) async fn begin_watching(self: &Arc<Self>, id: &ContainerId) {
        self.sampler.begin(id);
        self.watch_health(id).await;
    }

    async fn watch_health(self: &Arc<Self>, id: &ContainerId) {
        let Ok(container) = self.container(id) else {
            return;
        };
        let Some(run) = current_run(&container) else {
            return;
        };
        let image = match &container.spec.health {
            Some(_) => None,
            // The kubelet probes by itself, as the pod says; what an image asks for is not meant for it.
            None if container.pod.is_some() => None,
            None => match self.images.details(&container.image).await {
                Ok(image) => Some(image),
                Err(error) => {
                    tracing::warn!(container = %id, %error, "reading the health check of an image");
                    None
                }
            },
        };
        let config = image.as_ref().map(|image| &image.config);
        let Some(plan) = spec::plan(container.spec.health.as_ref(), config) else {
            return self.health.forget(id);
        };
        let Some(health) = self.health.take(id, run) else {
            return;
        };
        let Ok(seen) = self.watch(id) else {
            return self.health.forget(id);
        };
        let started = container
            .run
            .as_ref()
            .map_or(container.created_at, |run| run.started_at);
        let monitor = Monitor {
            inner: Arc::clone(self),
            id: id.clone(),
            run,
            machine: Machine::new(plan, started, health),
            unwritten: false,
        };
        tokio::spawn(monitor.run(seen));
    }
}

/// The run that goes on.
fn current_run(container: &Container) -> Option<u32> {
    let run = container.run.as_ref().filter(|run| run.exit.is_none())?;
    container.state.is_live().then_some(run.number)
}

struct Monitor {
    inner: Arc<Inner>,
    id: ContainerId,
    run: u32,
    machine: Machine,
    /// The last change of status could not be written and told.
    unwritten: bool,
}

/// What a run is doing, for its monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    Runs,
    Paused,
    Over,
}

impl Monitor {
    async fn run(mut self, mut seen: watch::Receiver<Seen>) {
        while self.wait(&mut seen).await {
            let inner = Arc::clone(&self.inner);
            let (id, plan) = (self.id.clone(), self.machine.plan().clone());
            // A task of its own: a run that ends does not leave the probe half started.
            let mut probe = tokio::spawn(async move { probe::run(&inner, &id, &plan).await });
            let mut counts = true;
            let result = loop {
                tokio::select! {
                    result = &mut probe => break result,
                    now = self.changed(&mut seen) => match now {
                        // Its exec ends with the run.
                        Now::Over => break probe.await,
                        // It is frozen too, and says nothing about health.
                        Now::Paused => counts = false,
                        Now::Runs => {}
                    },
                }
            };
            if let Ok(result) = result
                && counts
                && self.now(&seen) == Now::Runs
            {
                self.judge(result).await;
            }
        }
        self.inner.health.release(&self.id, self.run);
    }

    /// Waits until the next probe is due. Answers whether there is one: false when the run is over.
    async fn wait(&mut self, seen: &mut watch::Receiver<Seen>) -> bool {
        let mut due = Instant::now() + self.pause();
        loop {
            match self.now(seen) {
                Now::Over => return false,
                Now::Paused => {
                    self.machine.suspend();
                    self.inner
                        .health
                        .show(&self.id, self.run, self.machine.health());
                    if self.changed(seen).await == Now::Runs {
                        due = Instant::now() + self.pause();
                    }
                }
                Now::Runs => tokio::select! {
                    () = tokio::time::sleep_until(due) => return true,
                    _ = self.changed(seen) => {}
                },
            }
        }
    }

    fn pause(&self) -> Duration {
        self.machine.pause(self.inner.now())
    }

    fn now(&self, seen: &watch::Receiver<Seen>) -> Now {
        let seen = seen.borrow();
        match current_run(&seen.container) {
            Some(run) if run == self.run && !seen.removed => {
                if seen.container.state == State::Paused {
                    Now::Paused
                } else {
                    Now::Runs
                }
            }
            _ => Now::Over,
        }
    }

    async fn changed(&self, seen: &mut watch::Receiver<Seen>) -> Now {
        match seen.changed().await {
            Ok(()) => self.now(seen),
            Err(_) => Now::Over,
        }
    }

    /// Takes a result in; a change of status is written and told. When that fails (a full disk) it is tried again
    /// after the next probe.
    async fn judge(&mut self, result: gantry_model::policy::Probe) {
        let change = self.machine.judge(result);
        self.inner
            .health
            .show(&self.id, self.run, self.machine.health());
        if change.is_none() && !self.unwritten {
            return;
        }
        let written = self.write(self.machine.health().status).await;
        self.unwritten = written.is_err();
        if let Err(error) = written {
            tracing::error!(container = %self.id, %error, "recording a change of health");
        }
    }

    async fn write(&self, status: HealthStatus) -> Result<()> {
        let Ok(container) = self.inner.container(&self.id) else {
            return Ok(());
        };
        let record = Record {
            run: self.run,
            health: self.machine.health().clone(),
        };
        gantry_fault::point("engine.health.before-recorded")?;
        let action = format!("health_status: {}", status.as_str());
        let change = self
            .inner
            .change()
            .with(Item::Health(self.id.clone(), Box::new(record)))
            .container_event(&action, &container, &[]);
        self.inner.ledger.write(change).await?;
        gantry_fault::pass("engine.health.after-recorded");
        Ok(())
    }
}
