//! A set of changes that become true together.

use gantry_model::Result;
use serde::Serialize;

use crate::{Table, record};

/// Changes in order; a later one on the same key wins.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) changes: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) table: Table,
    pub(crate) key: String,
    /// `None` deletes.
    pub(crate) value: Option<Vec<u8>>,
}

impl Batch {
    /// Without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record, replacing what was there.
    ///
    /// # Errors
    /// `Internal` when the record cannot be written as JSON (a map with keys that are not text).
    pub fn put<T: Serialize + ?Sized>(
        &mut self,
        table: Table,
        key: &str,
        record: &T,
    ) -> Result<()> {
        let value = record::encode(table, key, record)?;
        self.changes.push(Change {
            table,
            key: key.to_owned(),
            value: Some(value),
        });
        Ok(())
    }

    /// Deletes a record; one that is not there is deleted already.
    pub fn delete(&mut self, table: Table, key: &str) {
        self.changes.push(Change {
            table,
            key: key.to_owned(),
            value: None,
        });
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}
