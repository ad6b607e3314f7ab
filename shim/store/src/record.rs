//! The form of one record: `{"v":<version>,"r":<record>}`.

use gantry_model::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Table;

/// Version written with each record. A reader takes any version whose record it can read: what an older or newer
/// program may not read at all is decided once for the whole database, by its schema.
pub(crate) const VERSION: u32 = 1;

#[derive(Serialize)]
struct Write<'a, T: ?Sized> {
    v: u32,
    r: &'a T,
}

#[derive(Deserialize)]
struct Read<T> {
    /// Required: bare JSON is a record of schema 0, never of this one.
    #[serde(rename = "v")]
    _version: u32,
    r: T,
}

pub(crate) fn encode<T: Serialize + ?Sized>(
    table: Table,
    key: &str,
    record: &T,
) -> Result<Vec<u8>> {
    serde_json::to_vec(&Write {
        v: VERSION,
        r: record,
    })
    .map_err(|e| Error::internal(format!("write record {key:?} of table {table}: {e}")))
}

pub(crate) fn decode<T: DeserializeOwned>(table: Table, key: &str, value: &[u8]) -> Result<T> {
    serde_json::from_slice::<Read<T>>(value)
        .map(|read| read.r)
        .map_err(|e| Error::data_loss(format!("read record {key:?} of table {table}: {e}")))
}
