//! The metadata database: versioned records in fixed tables, changed in atomic and durable batches.
//!
//! Invariant: all I/O goes through redb; nothing here knows what a record means. No transaction is ever open while a
//! caller does something else: a [`Batch`] is complete before it is handed in.
//!
//! What a database on disk promises to other versions of this crate is kept beside the tables: a *schema* number
//! that grows with each migration, and the oldest schema whose code can still read it. A record is the JSON text
//! `{"v":<record version>,"r":<record>}`; readers ignore fields they do not know.

mod batch;
mod error;
mod file;
mod migrations;
mod open;
mod record;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use batch::Batch;
pub use file::Allocate;
pub use table::Table;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use gantry_model::{Error, Result};
use redb::{Database, ReadableDatabase, ReadableTable};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::error::failed;
use crate::writer::Writer;

/// The open database, replaced by the writer when an I/O error made redb refuse all further work on it.
type Shared = Arc<RwLock<Option<Database>>>;

/// An open database. Cheap to clone; the last one dropped waits for the batches handed in, then closes the file.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Shared,
    path: PathBuf,
    writer: Writer,
}

/// Records of one table by key; a damaged one is an error in its own place.
pub type Records<T> = Vec<(String, Result<T>)>;

impl Store {
    /// Opens the database, makes it when it is not there, and migrates an older one.
    ///
    /// # Errors
    /// `Conflict` when another process has it open, `FailedPrecondition` when a newer version wrote it and says that
    /// this one cannot read it (the text names both versions), `DataLoss` when it is damaged, `ResourceExhausted` when
    /// the disk is full.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, None)
    }

    /// As [`Store::open`], with blocks for the whole file and for its next growth taken from the disk beforehand, so
    /// that records are still written when others have filled it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(path: &Path, allocate: Option<Allocate>) -> Result<Self> {
        let path = path.to_owned();
        let opener: open::Opener = {
            let path = path.clone();
            Box::new(move || open::file(&path, allocate))
        };
        Self::with_opener(path, opener)
    }

    fn with_opener(path: PathBuf, opener: open::Opener) -> Result<Self> {
        let database = opener().map_err(|error| open::explain(error, &path))?;
        open::prepare(&database).map_err(|error| open::explain(error, &path))?;
        let database: Shared = Arc::new(RwLock::new(Some(database)));
        let writer = Writer::start(Arc::clone(&database), opener)?;
        Ok(Self {
            inner: Arc::new(Inner {
                database,
                path,
                writer,
            }),
        })
    }

    /// All records of a table in the order of their keys. A record that cannot be read does not hide the others. What
    /// was handed to [`Store::commit_later`] is among them once it is written.
    ///
    /// # Errors
    /// Only when the table as a whole cannot be read.
    pub fn load<T: DeserializeOwned>(&self, table: Table) -> Result<Records<T>> {
        let doing = || format!("read table {table}");
        let guard = self
            .inner
            .database
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let database = guard
            .as_ref()
            .ok_or_else(|| Error::unavailable("the database is closed after an i/o error"))?;
        let transaction = database.begin_read().map_err(|e| failed(doing(), e))?;
        let opened = match transaction.open_table(table.definition()) {
            Ok(opened) => opened,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(e) => return Err(failed(doing(), e)),
        };
        let mut records = Vec::new();
        for entry in opened.iter().map_err(|e| failed(doing(), e))? {
            let (key, value) = entry.map_err(|e| failed(doing(), e))?;
            let key = key.value().to_owned();
            let record = record::decode(table, &key, value.value());
            records.push((key, record));
        }
        Ok(records)
    }

    /// Commits a batch. It is on disk (fsync) when this returns; all of it or nothing.
    ///
    /// # Errors
    /// `ResourceExhausted` when the disk is full, `Internal` for other i/o errors: nothing of the batch is there then,
    /// unless the error came from the very last sync, whose outcome no program can know.
    ///
    /// # Cancel safety
    /// Once polled, dropping the future does not take the batch back.
    pub async fn commit(&self, batch: Batch) -> Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.inner.writer.submit(
            batch,
            Some(Box::new(move |outcome| {
                // A caller that went away cancels only itself.
                let _ = sender.send(outcome);
            })),
        )?;
        let outcome = receiver
            .await
            .unwrap_or_else(|_| Err(Error::internal("the database writer ended")));
        self.explained(outcome)
    }

    /// As [`Store::commit`], for threads without a runtime. Blocks.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn commit_blocking(&self, batch: Batch) -> Result<()> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.inner.writer.submit(
            batch,
            Some(Box::new(move |outcome| {
                let _ = sender.send(outcome);
            })),
        )?;
        let outcome = receiver
            .recv()
            .unwrap_or_else(|_| Err(Error::internal("the database writer ended")));
        self.explained(outcome)
    }

    /// Hands in a batch nobody waits for: it keeps its place among the others and is on disk with the next one that is
    /// committed, or within about a second. It is lost when this process is killed before; on a full disk it waits for
    /// space. Does not block.
    ///
    /// # Errors
    /// Only when the writer has ended.
    pub fn commit_later(&self, batch: Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.inner.writer.submit(batch, None)
    }

    fn explained(&self, outcome: Result<()>) -> Result<()> {
        outcome.map_err(|error| open::explain(error, &self.inner.path))
    }
}
