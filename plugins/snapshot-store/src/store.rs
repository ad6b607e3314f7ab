//! Keys, parents and kinds: which snapshot exists, and which change is allowed.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gantry_sdk::snapshot::Kind;
use gantry_sdk::{Error, ErrorCode, Labels, Result};

use crate::disk::{Disk, Found, free, injected};
use crate::record::{Record, VERSION};

/// All snapshots of one driver. May be used by several threads; the host never has two changes of
/// one key under way.
#[derive(Debug)]
pub struct Store {
    disk: Disk,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<String, Record>,
    /// Being made: key, number and parent, which must not be removed meanwhile.
    making: BTreeMap<String, (u64, Option<String>)>,
    /// Being freed by a `remove` or a `cleanup` of another thread.
    freeing: HashSet<PathBuf>,
    highest: u64,
    /// Opening found folders that belong to no snapshot.
    leftovers: bool,
}

impl State {
    fn parent_of_another(&self, key: &str) -> bool {
        let named = |parent: &Option<String>| parent.as_deref() == Some(key);
        self.records.values().any(|r| named(&r.parent)) || self.making.values().any(|m| named(&m.1))
    }

    fn get(&self, key: &str) -> Result<&Record> {
        self.records
            .get(key)
            .ok_or_else(|| Error::not_found(format!("snapshot {key} does not exist")))
    }
}

impl Store {
    /// Opens the store in `root`, which is there; answers sentences for the log, too: what was
    /// left unfinished, what cannot be read (and is left alone).
    ///
    /// # Errors
    /// When the folders cannot be made or read.
    pub fn open(root: &Path) -> Result<(Self, Vec<String>)> {
        let disk = Disk::open(root)?;
        let (numbers, highest) = disk.numbers()?;
        let mut state = State {
            highest,
            ..State::default()
        };
        let mut said = Vec::new();
        for number in numbers {
            match disk.read(number) {
                Found::Record(record) => {
                    state.records.insert(record.key.clone(), record);
                }
                Found::Unfinished => {
                    disk.put_away(number)?;
                    said.push(format!("snapshot folder {number} was never finished"));
                }
                Found::Unreadable(error) => said.push(error.message),
            }
        }
        state.leftovers = !disk.leftovers(&[])?.is_empty();
        let state = Mutex::new(state);
        Ok((Self { disk, state }, said))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one insert or remove: a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of a snapshot.
    #[must_use]
    pub fn folder(&self, record: &Record) -> PathBuf {
        self.disk.folder(record.number)
    }

    /// One snapshot.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get(&self, key: &str) -> Result<Record> {
        self.state().get(key).cloned()
    }

    /// Every snapshot.
    #[must_use]
    pub fn list(&self) -> Vec<Record> {
        self.state().records.values().cloned().collect()
    }

    /// The snapshots that `record` is made on, the nearest first.
    ///
    /// # Errors
    /// `DataLoss` when one of them is missing.
    pub fn ancestors(&self, record: &Record) -> Result<Vec<Record>> {
        let state = self.state();
        let mut chain: Vec<Record> = Vec::new();
        let mut next = record.parent.clone();
        while let Some(key) = &next {
            let parent = state.records.get(key);
            // A chain longer than all there is goes in a circle.
            let Some(parent) = parent.filter(|_| chain.len() <= state.records.len()) else {
                let what = format!("snapshot {key} beneath {} is missing", record.key);
                return Err(Error::new(ErrorCode::DataLoss, what));
            };
            chain.push(parent.clone());
            next = parent.parent.clone();
        }
        Ok(chain)
    }

    /// Makes a snapshot: `fill` gets an empty folder and the parent's record. The very same one
    /// asked for again is answered as it is.
    ///
    /// # Errors
    /// `NotFound` without the parent, `FailedPrecondition` when it is not committed,
    /// `AlreadyExists` when the key is another snapshot's, and what `fill` answers: then nothing
    /// is left.
    pub fn make(
        &self,
        kind: Kind,
        key: &str,
        parent: Option<&str>,
        labels: Labels,
        fill: impl FnOnce(&Path, Option<&Record>) -> Result<()>,
    ) -> Result<Record> {
        let (number, parent_record) = match self.begin(kind, key, parent)? {
            Begun::There(record) => return Ok(record),
            Begun::New(number, parent) => (number, parent),
        };
        let record = Record {
            version: VERSION,
            number,
            key: key.to_owned(),
            kind,
            parent: parent.map(str::to_owned),
            labels,
        };
        let made = self.disk.begin(number).and_then(|making| {
            let filled = fill(&making, parent_record.as_ref());
            let filled = filled.and_then(|()| {
                gantry_fault::point("snapshot-store.make.after-fill").map_err(injected)
            });
            let kept = filled.and_then(|()| self.disk.keep(&making, &record));
            if kept.is_err() {
                // What stays is found by the next cleanup.
                let _ = free(&making);
                let _ = self.disk.put_away(number);
            }
            kept
        });
        let mut state = self.state();
        state.making.remove(key);
        made?;
        state.records.insert(key.to_owned(), record.clone());
        Ok(record)
    }

    fn begin(&self, kind: Kind, key: &str, parent: Option<&str>) -> Result<Begun> {
        if key.is_empty() {
            return Err(Error::invalid("a snapshot needs a key"));
        }
        let mut state = self.state();
        if let Some(there) = state.records.get(key) {
            if there.kind == kind && there.parent.as_deref() == parent {
                return Ok(Begun::There(there.clone()));
            }
            return Err(Error::exists(format!("snapshot {key} exists already")));
        }
        if state.making.contains_key(key) {
            return Err(Error::in_use(format!("snapshot {key} is being made")));
        }
        let record = match parent {
            None => None,
            Some(parent) => {
                let record = state.get(parent)?.clone();
                if record.kind != Kind::Committed {
                    let what =
                        format!("snapshot {parent} is not committed: none can be made on it");
                    return Err(Error::new(ErrorCode::FailedPrecondition, what));
                }
                Some(record)
            }
        };
        state.highest += 1;
        let number = state.highest;
        let making = (number, parent.map(str::to_owned));
        state.making.insert(key.to_owned(), making);
        Ok(Begun::New(number, record))
    }

    /// Makes the active snapshot `key` the committed `name`, its content synced before. Done when
    /// it was done before.
    ///
    /// # Errors
    /// `NotFound`, `FailedPrecondition` when `key` is not active, `AlreadyExists` when both are
    /// there.
    pub fn commit(&self, key: &str, name: &str, labels: Labels) -> Result<Record> {
        if name.is_empty() {
            return Err(Error::invalid("a committed snapshot needs a name"));
        }
        let old = {
            let state = self.state();
            match (state.records.get(key), state.records.get(name)) {
                (_, Some(there)) if there.kind == Kind::Committed => {
                    if key != name && state.records.contains_key(key) {
                        return Err(Error::exists(format!("snapshot {name} exists already")));
                    }
                    return Ok(there.clone());
                }
                (_, Some(_)) if key != name => {
                    return Err(Error::exists(format!("snapshot {name} exists already")));
                }
                (None, _) => {
                    return Err(Error::not_found(format!("snapshot {key} does not exist")));
                }
                (Some(record), _) => record.clone(),
            }
        };
        if old.kind != Kind::Active {
            let what = format!("snapshot {key} is not active: it cannot be committed");
            return Err(Error::new(ErrorCode::FailedPrecondition, what));
        }
        self.disk.sync_content(old.number)?;
        let record = Record {
            key: name.to_owned(),
            kind: Kind::Committed,
            labels,
            ..old
        };
        self.disk.rewrite(&record)?;
        let mut state = self.state();
        state.records.remove(key);
        state.records.insert(name.to_owned(), record.clone());
        Ok(record)
    }

    /// Removes a snapshot and frees its space; done when it is not there. If freeing fails the
    /// snapshot is gone all the same, and `cleanup` tries again.
    ///
    /// # Errors
    /// `InUse` while another one is made on it.
    pub fn remove(&self, key: &str) -> Result<()> {
        let removed = {
            let mut state = self.state();
            let Some(record) = state.records.get(key) else {
                return Ok(());
            };
            if state.parent_of_another(key) {
                let what = format!("snapshot {key} has others made on it");
                return Err(Error::in_use(what));
            }
            let removed = self.disk.put_away(record.number)?;
            state.records.remove(key);
            state.freeing.insert(removed.clone());
            removed
        };
        let freed = free(&removed);
        let mut state = self.state();
        state.freeing.remove(&removed);
        let leftovers = std::mem::take(&mut state.leftovers);
        drop(state);
        if leftovers {
            // What a process before this one was killed over: not at opening, which others wait
            // for. Whoever removes has time, and a failure is found by the next cleanup.
            let _ = self.cleanup();
        }
        freed
    }

    /// Frees what removed and unfinished snapshots left; answers how many.
    ///
    /// # Errors
    /// The first that could not be freed; the others are.
    pub fn cleanup(&self) -> Result<u64> {
        let leftovers: Vec<PathBuf> = {
            let mut state = self.state();
            let making: Vec<u64> = state.making.values().map(|m| m.0).collect();
            let found = self.disk.leftovers(&making)?;
            let mine = found
                .into_iter()
                .filter(|path| state.freeing.insert(path.clone()));
            mine.collect()
        };
        let results: Vec<Result<()>> = leftovers.iter().map(|path| free(path)).collect();
        let mut state = self.state();
        for path in &leftovers {
            state.freeing.remove(path);
        }
        results.into_iter().collect::<Result<()>>()?;
        Ok(leftovers.len() as u64)
    }
}

enum Begun {
    There(Record),
    New(u64, Option<Record>),
}

#[cfg(test)]
mod tests;
