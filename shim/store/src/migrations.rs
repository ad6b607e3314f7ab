//! The list of migrations, oldest first. Number n turns schema n into schema n + 1. What is here stays as it is: a
//! database of any age runs through all that it has not seen, in one transaction.

use gantry_model::{Error, Result};
use redb::{ReadableTable, WriteTransaction};
use serde_json::Value;

use crate::Table;
use crate::error::failed;
use crate::open;

/// One step.
pub(crate) struct Migration {
    /// What it does, for messages.
    pub(crate) name: &'static str,
    /// Does it. Must not look at a record's meaning beyond what its own schema promised.
    pub(crate) run: fn(&WriteTransaction) -> Result<()>,
}

/// All of them.
pub(crate) const MIGRATIONS: [Migration; 1] = [Migration {
    name: "put each record into an envelope with a version",
    run: wrap_records,
}];

/// Schema 0 held each record as bare JSON. A record that is no JSON stays as it is, and is reported when it is read:
/// one damaged record must not keep the others from being migrated.
fn wrap_records(transaction: &WriteTransaction) -> Result<()> {
    let existing = open::tables(transaction)?;
    for table in Table::ALL {
        if !existing.iter().any(|name| name == table.as_str()) {
            continue;
        }
        let doing = || format!("table {table}");
        let mut opened = transaction
            .open_table(table.definition())
            .map_err(|e| failed(doing(), e))?;
        let mut wrapped = Vec::new();
        for entry in opened.iter().map_err(|e| failed(doing(), e))? {
            let (key, value) = entry.map_err(|e| failed(doing(), e))?;
            let Ok(record) = serde_json::from_slice::<Value>(value.value()) else {
                continue;
            };
            let envelope = serde_json::json!({ "v": 1, "r": record });
            let bytes = serde_json::to_vec(&envelope)
                .map_err(|e| Error::internal(format!("{}: {e}", doing())))?;
            wrapped.push((key.value().to_owned(), bytes));
        }
        for (key, bytes) in wrapped {
            opened
                .insert(key.as_str(), bytes.as_slice())
                .map_err(|e| failed(doing(), e))?;
        }
    }
    Ok(())
}
