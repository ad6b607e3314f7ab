//! What is being worked on: each operation from its first step to its last, what it waits for, and its cancel.
//!
//! The records know an operation from its intent to its outcome; this table is the living half of it, in memory. An
//! operation that is in the records but not here has nobody working on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_model::call::{Call, Cancel};
use gantry_model::operation::{Operation, OperationKind, OperationView};
use gantry_model::{Error, OperationId, Result, Timestamp};

use crate::inner::{Inner, lock};

#[derive(Default)]
pub(crate) struct Work(Mutex<BTreeMap<OperationId, Entry>>);

struct Entry {
    operation: Operation,
    cancel: Cancel,
    waits_for: String,
    waits_since: Timestamp,
}

/// An operation in progress. Dropped, nobody works on it any more.
pub(crate) struct Doing {
    operation: Operation,
    inner: Arc<Inner>,
}

impl std::ops::Deref for Doing {
    type Target = Operation;

    fn deref(&self) -> &Operation {
        &self.operation
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        lock(&self.inner.work.0).remove(&self.operation.id);
    }
}

impl Inner {
    /// Begins an operation: its record, to be written before the first side effect, and the context of its calls.
    pub(crate) fn operation(
        self: &Arc<Self>,
        kind: OperationKind,
        object: &str,
        timeout: Duration,
    ) -> (Doing, Call) {
        self.operation_with(kind, object, timeout, Cancel::default())
    }

    /// As [`Inner::operation`], cancelled by a cancel that is there already.
    pub(crate) fn operation_with(
        self: &Arc<Self>,
        kind: OperationKind,
        object: &str,
        timeout: Duration,
        cancel: Cancel,
    ) -> (Doing, Call) {
        let id = OperationId::from_random(self.host.random());
        let since = self.now();
        let nanos = i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX);
        let deadline = Timestamp(since.0.saturating_add(nanos));
        let call = Call {
            operation: id.clone(),
            timeout,
            cancel: cancel.clone(),
        };
        let operation = Operation {
            id: id.clone(),
            kind,
            object: object.to_owned(),
            since,
            deadline,
        };
        let entry = Entry {
            operation: operation.clone(),
            cancel,
            waits_for: String::new(),
            waits_since: since,
        };
        lock(&self.work.0).insert(id, entry);
        let doing = Doing {
            operation,
            inner: Arc::clone(self),
        };
        (doing, call)
    }

    /// Operations of these kinds in the records of an object: the one in progress, and those before it that failed
    /// half-way. They are over together.
    pub(crate) fn recorded(&self, kinds: &[OperationKind], object: &str) -> Vec<OperationId> {
        let tables = self.ledger.read();
        let all = tables.operations.values();
        all.filter(|one| one.object == object && kinds.contains(&one.kind))
            .map(|one| one.id.clone())
            .collect()
    }

    /// Says what the operation of this call waits for from now on.
    pub(crate) fn waits(&self, call: &Call, what: impl Into<String>) {
        let now = self.now();
        if let Some(entry) = lock(&self.work.0).get_mut(&call.operation) {
            entry.waits_for = what.into();
            entry.waits_since = now;
        }
    }

    /// Unfinished operations, oldest first: those in progress, and those in the records that nobody works on.
    pub(crate) fn unfinished(&self) -> Vec<OperationView> {
        let recorded: Vec<Operation> = {
            let tables = self.ledger.read();
            tables.operations.values().cloned().collect()
        };
        let work = lock(&self.work.0);
        let mut all: Vec<OperationView> = work.values().map(Entry::view).collect();
        for operation in recorded {
            if !work.contains_key(&operation.id) {
                all.push(OperationView {
                    waits_since: operation.since,
                    operation,
                    waits_for: "its plugin's late answer, to be asked for again, or the next start of the daemon"
                        .to_owned(),
                    cancelled: false,
                    stuck: true,
                });
            }
        }
        all.sort_by_key(|view| view.operation.since);
        all
    }

    /// Says the cancel of an operation in progress.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` for a prefix of several, `FailedPrecondition` when nobody works on it.
    pub(crate) fn cancel_work(&self, reference: &str) -> Result<OperationView> {
        let fits = |view: &OperationView| {
            !reference.is_empty() && view.operation.id.as_str().starts_with(reference)
        };
        let mut matching: Vec<OperationView> = self.unfinished().into_iter().filter(fits).collect();
        let found = match (matching.pop(), matching.len()) {
            (Some(found), 0) => found,
            (Some(_), more) => {
                return Err(Error::invalid(format!(
                    "{} operations have ids that begin with {reference}: say more of it",
                    more + 1
                )));
            }
            (None, _) => {
                return Err(Error::not_found(format!(
                    "no operation {reference} is in progress"
                )));
            }
        };
        let work = lock(&self.work.0);
        let Some(entry) = work.get(&found.operation.id) else {
            return Err(Error::failed_precondition(format!(
                "operation {} cannot be cancelled: it waits for {}",
                found.operation.id, found.waits_for
            )));
        };
        entry.cancel.cancel();
        Ok(entry.view())
    }
}

impl Entry {
    fn view(&self) -> OperationView {
        OperationView {
            operation: self.operation.clone(),
            waits_for: self.waits_for.clone(),
            waits_since: self.waits_since,
            cancelled: self.cancel.is_cancelled(),
            stuck: false,
        }
    }
}
