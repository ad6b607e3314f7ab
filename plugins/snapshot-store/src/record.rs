//! What is known of one snapshot, as it lies on disk.

use gantry_sdk::Labels;
use gantry_sdk::snapshot::{Info, Kind};
use serde::{Deserialize, Serialize};

/// Version of the record's format; readers refuse a newer one.
pub(crate) const VERSION: u32 = 1;

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Format of this record.
    pub(crate) version: u32,
    /// Name of its folder; never used twice.
    #[serde(skip)]
    pub number: u64,
    /// Key or committed name.
    pub key: String,
    /// What it is.
    pub kind: Kind,
    /// Key of the committed snapshot it is made on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// As given by the host.
    #[serde(default)]
    pub labels: Labels,
}

impl Record {
    /// The answer to `stat`.
    #[must_use]
    pub fn info(&self) -> Info {
        Info {
            key: self.key.clone(),
            parent: self.parent.clone(),
            kind: self.kind,
            labels: self.labels.clone(),
        }
    }
}
