//! The crew: one thread a client, each with work of its own kind.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gantry_integration::Node;

use crate::cri_work::CriClient;
use crate::dice::Dice;
use crate::docker_work::DockerClient;
use crate::stage::Stage;

/// Faults kept in words; more are only counted.
const KEPT: usize = 200;

/// What a client does now.
#[derive(Debug)]
struct Doing {
    what: String,
    since: Instant,
    /// It was said that it takes long.
    said: bool,
}

/// Answers nobody can explain, and what is on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Vec<String>>>, Arc<Mutex<BTreeMap<usize, Doing>>>);

impl Faults {
    /// Notes one.
    pub(crate) fn note(&self, text: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < KEPT {
            eprintln!("fault: {text}");
        }
        all.push(text);
    }

    /// What a client is about to do, for the day it does not come back from it.
    pub(crate) fn doing(&self, client: usize, what: &str) {
        let doing = Doing {
            what: what.to_owned(),
            since: Instant::now(),
            said: false,
        };
        self.all_doing().insert(client, doing);
    }

    /// It came back.
    pub(crate) fn done(&self, client: usize) {
        self.all_doing().remove(&client);
    }

    /// What takes longer than this, each once.
    pub(crate) fn slow(&self, limit: Duration) -> Vec<(usize, String)> {
        let mut all = self.all_doing();
        let slow = all
            .iter_mut()
            .filter(|(_, doing)| !doing.said && doing.since.elapsed() > limit);
        slow.map(|(who, doing)| {
            doing.said = true;
            (*who, doing.what.clone())
        })
        .collect()
    }

    fn all_doing(&self) -> MutexGuard<'_, BTreeMap<usize, Doing>> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn still_doing(&self) -> String {
        let lines = self.all_doing();
        let lines = lines
            .iter()
            .map(|(who, doing)| format!("client {who}: {}", doing.what));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// All of them.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One client's work.
pub(crate) trait Work {
    /// One request or a short row of them.
    fn step(&mut self);
    /// Removes what this client has made.
    fn clear(&mut self);
}

/// Where the daemon is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Docker's socket.
    pub(crate) docker: PathBuf,
    /// CRI's.
    pub(crate) cri: PathBuf,
    /// Folder for pods' logs.
    pub(crate) logs: PathBuf,
    /// How many clients speak Docker.
    pub(crate) docker_clients: usize,
}

/// All clients.
pub(crate) struct Crew {
    stage: Arc<Stage>,
    threads: Vec<JoinHandle<()>>,
    faults: Faults,
    steps: Arc<AtomicU64>,
}

/// What they did.
pub(crate) struct Done {
    /// How many steps.
    pub(crate) steps: u64,
    /// What went wrong.
    pub(crate) faults: Vec<String>,
}

impl Crew {
    /// Everybody comes and stands still.
    pub(crate) fn start(node: &Node, clients: usize, seed: u64) -> Result<Self> {
        let docker_clients = clients - clients / 3;
        let place = Place {
            docker: node.socket("docker"),
            cri: node.socket("cri"),
            logs: node.dir().join("logs"),
            docker_clients,
        };
        let stage = Arc::new(Stage::new(clients));
        let (faults, steps) = (Faults::default(), Arc::new(AtomicU64::new(0)));
        let mut threads = Vec::new();
        for number in 0..clients {
            let (stage, steps) = (Arc::clone(&stage), Arc::clone(&steps));
            let (place, faults, told) = (place.clone(), faults.clone(), faults.clone());
            let dice = Dice::new(seed, number);
            let thread = std::thread::Builder::new()
                .name(format!("client{number}"))
                .spawn(move || {
                    let mut work: Box<dyn Work> = if number < docker_clients {
                        Box::new(DockerClient::new(number, place, dice, faults))
                    } else {
                        Box::new(CriClient::new(number, place, dice, faults))
                    };
                    while stage.rest() {
                        while stage.works() {
                            work.step();
                            told.done(number);
                            steps.fetch_add(1, Ordering::Relaxed);
                        }
                        work.clear();
                        told.done(number);
                    }
                })?;
            threads.push(thread);
        }
        Ok(Self {
            stage,
            threads,
            faults,
            steps,
        })
    }

    /// Everybody works so long, clears up and stands still.
    pub(crate) fn work(&self, length: Duration) -> Result<()> {
        self.stage
            .work(length)
            .with_context(|| self.faults.still_doing())
    }

    /// Where they note what goes wrong.
    pub(crate) fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Everybody goes home.
    pub(crate) fn end(self) -> Done {
        self.stage.leave();
        for thread in self.threads {
            if thread.join().is_err() {
                self.faults.note("a client panicked".to_owned());
            }
        }
        Done {
            steps: self.steps.load(Ordering::Relaxed),
            faults: self.faults.take(),
        }
    }
}
