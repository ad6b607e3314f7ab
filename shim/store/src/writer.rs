//! The one thread that writes. redb has one writer at a time and a durable commit costs a sync of the disk, so batches
//! that wait are committed together: each is still whole, none waits for more than two syncs.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use gantry_model::{Error, Result};
use redb::Database;

use crate::batch::Batch;
use crate::error::failed;
use crate::open::{self, Opener};
use crate::{Shared, Table};

/// Told the outcome of one batch, on the writer's thread.
pub(crate) type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// Batches committed in one transaction at most.
const GROUP: usize = 512;

struct Job {
    batch: Batch,
    done: Done,
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
            .spawn(move || run(&database, &opener, &receiver))
            .map_err(|e| Error::exhausted(format!("start the database's writer thread: {e}")))?;
        Ok(Self {
            sender: Some(sender),
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn submit(&self, batch: Batch, done: Done) -> Result<()> {
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

fn run(database: &Shared, opener: &Opener, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        let outcome = write(database, opener, &group);
        for job in group {
            (job.done)(outcome.clone());
        }
    }
}

fn write(database: &Shared, opener: &Opener, group: &[Job]) -> Result<()> {
    reopen_if_closed(database, opener)?;
    let outcome = {
        let guard = database.read().unwrap_or_else(PoisonError::into_inner);
        let database = guard
            .as_ref()
            .ok_or_else(|| Error::unavailable("the database is closed after an i/o error"))?;
        transact(database, group)
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

fn transact(database: &Database, group: &[Job]) -> Result<()> {
    let transaction = open::begin(database)?;
    for table in Table::ALL {
        let changes = || {
            group
                .iter()
                .flat_map(|job| &job.batch.changes)
                .filter(move |change| change.table == table)
        };
        if changes().next().is_none() {
            continue;
        }
        let doing = || format!("write table {table}");
        let mut opened = transaction
            .open_table(table.definition())
            .map_err(|e| failed(doing(), e))?;
        for change in changes() {
            let key = change.key.as_str();
            match &change.value {
                Some(value) => opened.insert(key, value.as_slice()).map(drop),
                None => opened.remove(key).map(drop),
            }
            .map_err(|e| failed(doing(), e))?;
        }
    }
    transaction
        .commit()
        .map_err(|e| failed("commit to the database", e))
}
