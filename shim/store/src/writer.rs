//! The one thread that writes. redb has one writer at a time and a durable commit costs a sync of the disk, so batches
//! that wait are committed together: each is still whole, none waits for more than two syncs.
//!
//! Batches that need no sync of their own (*later* ones) are held here, in their place among the others, and are
//! written with the next one that does, or after [`HOLD`]. They stay held when writing fails.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gantry_model::{Error, Result};
use redb::Database;

use crate::batch::{Batch, Change};
use crate::error::failed;
use crate::open::{self, Opener};
use crate::{Shared, Table};

/// Told the outcome of one batch, on the writer's thread.
pub(crate) type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// Batches committed in one transaction at most.
const GROUP: usize = 512;

/// How long a batch that needs no sync of its own is held.
const HOLD: Duration = Duration::from_secs(1);

/// Changes held at most while the disk takes none; the oldest are given up then.
const HELD: usize = 50_000;

struct Job {
    batch: Batch,
    /// Nobody waits for a batch without one.
    done: Option<Done>,
}

/// The way to the thread. Dropped, it waits until what was handed in is committed.
pub(crate) struct Writer {
    sender: Option<Sender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn start(database: Shared, opener: Opener) -> Result<Self> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("gantry-store".to_owned())
            .spawn(move || {
                let mut thread = Thread {
                    database,
                    opener,
                    held: VecDeque::new(),
                    due: None,
                    failing: false,
                };
                thread.run(&receiver);
            })
            .map_err(|e| Error::exhausted(format!("start the database's writer thread: {e}")))?;
        Ok(Self {
            sender: Some(sender),
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn submit(&self, batch: Batch, done: Option<Done>) -> Result<()> {
        let ended = || Error::internal("the database writer ended");
        self.sender
            .as_ref()
            .ok_or_else(ended)?
            .send(Job { batch, done })
            .map_err(|_| ended())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends when the channel does; joined so that the file is closed when the last store is gone.
        self.sender = None;
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

struct Thread {
    database: Shared,
    opener: Opener,
    /// Changes nobody waits for, in order, older than everything in the channel.
    held: VecDeque<Change>,
    /// When they are written at the latest.
    due: Option<Instant>,
    /// The last attempt to write only held changes failed and was told.
    failing: bool,
}

impl Thread {
    fn run(&mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match self.due {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => jobs.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match first {
                Ok(first) => {
                    let mut group = vec![first];
                    while group.len() < GROUP
                        && let Ok(job) = jobs.try_recv()
                    {
                        group.push(job);
                    }
                    self.take(group);
                }
                Err(RecvTimeoutError::Timeout) => self.let_go(),
                Err(RecvTimeoutError::Disconnected) => return self.let_go(),
            }
        }
    }

    /// Writes the group if anybody waits for it, otherwise holds it.
    fn take(&mut self, group: Vec<Job>) {
        let mut changes = Vec::new();
        let mut waiting = Vec::new();
        // What of the group is held if it cannot be written; the rest has somebody who is told.
        let mut later = Vec::new();
        for job in group {
            match job.done {
                Some(done) => waiting.push(done),
                None => later.extend(job.batch.changes.iter().cloned()),
            }
            changes.extend(job.batch.changes);
        }
        if waiting.is_empty() {
            self.hold(later);
            return;
        }
        let all: Vec<&Change> = self.held.iter().chain(&changes).collect();
        let outcome = write(&self.database, &self.opener, &all);
        if outcome.is_ok() {
            self.written();
        } else {
            self.hold(later);
        }
        for done in waiting {
            done(outcome.clone());
        }
    }

    fn hold(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.held.extend(changes);
        let over = self.held.len().saturating_sub(HELD);
        self.held.drain(..over);
        if self.due.is_none() {
            self.due = Some(Instant::now() + HOLD);
        }
    }

    /// Writes what is held.
    fn let_go(&mut self) {
        if self.held.is_empty() {
            self.due = None;
            return;
        }
        let all: Vec<&Change> = self.held.iter().collect();
        match write(&self.database, &self.opener, &all) {
            Ok(()) => self.written(),
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, held = self.held.len(), "records wait for the database");
                }
                self.failing = true;
                self.due = Some(Instant::now() + HOLD);
            }
        }
    }

    fn written(&mut self) {
        if self.failing {
            tracing::info!(held = self.held.len(), "the database takes records again");
        }
        self.failing = false;
        self.held.clear();
        self.due = None;
    }
}

fn write(database: &Shared, opener: &Opener, changes: &[&Change]) -> Result<()> {
    reopen_if_closed(database, opener)?;
    let outcome = {
        let guard = database.read().unwrap_or_else(PoisonError::into_inner);
        let database = guard
            .as_ref()
            .ok_or_else(|| Error::unavailable("the database is closed after an i/o error"))?;
        transact(database, changes)
    };
    if outcome.is_err() {
        // After one i/o error redb refuses everything. Opened anew it repairs itself from what is on disk, so that a
        // full disk ends with the fullness and not with the daemon.
        *database.write().unwrap_or_else(PoisonError::into_inner) = None;
        // Readers should find it open; if this fails the next batch tries again and reports it.
        let _ = reopen_if_closed(database, opener);
    }
    outcome
}

fn reopen_if_closed(database: &Shared, opener: &Opener) -> Result<()> {
    let closed = database
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .is_none();
    if !closed {
        return Ok(());
    }
    let mut guard = database.write().unwrap_or_else(PoisonError::into_inner);
    if guard.is_none() {
        *guard =
            Some(opener().map_err(|e| e.context("open the database again after an i/o error"))?);
    }
    Ok(())
}

fn transact(database: &Database, changes: &[&Change]) -> Result<()> {
    gantry_fault::point("store.commit.before-write")?;
    let transaction = open::begin(database)?;
    for table in Table::ALL {
        let mut changes = changes
            .iter()
            .filter(|change| change.table == table)
            .peekable();
        if changes.peek().is_none() {
            continue;
        }
        let doing = || format!("write table {table}");
        let mut opened = transaction
            .open_table(table.definition())
            .map_err(|e| failed(doing(), e))?;
        for change in changes {
            let key = change.key.as_str();
            match &change.value {
                Some(value) => opened.insert(key, value.as_slice()).map(drop),
                None => opened.remove(key).map(drop),
            }
            .map_err(|e| failed(doing(), e))?;
        }
    }
    gantry_fault::point("store.commit.before-sync")?;
    transaction
        .commit()
        .map_err(|e| failed("commit to the database", e))?;
    // On disk, and nobody was told yet. An error here would say that nothing was written.
    gantry_fault::pass("store.commit.after-sync");
    Ok(())
}
