//! The JSON payloads of every call, as Rust structs: one request and one answer per function of a table.
//!
//! Rules: the host fills every field it knows; unknown fields are ignored in answers, and in requests unless the
//! request names them in `must_understand`. Descriptors are named by their index in the call's array ([`FdIndex`]).
//! Every change is idempotent: repeating a request after the outcome *unknown* must end in the same state.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

mod fields;
pub mod network;
pub mod snapshot;
pub mod volume;

pub use fields::{field_names, missing_from};

/// Free names and values.
pub type Labels = BTreeMap<String, String>;

/// Index of a descriptor in the array that travels with the call.
pub type FdIndex = u32;

/// A request of a function.
pub trait Request: Serialize + DeserializeOwned {
    /// What the function answers.
    type Answer: Serialize + DeserializeOwned;
    /// The table or extension the function is in.
    const TABLE: &'static str;
    /// The function's name in that table.
    const FUNCTION: &'static str;

    /// Top-level fields which, as they are filled now, must not be dropped by a plugin that does not know them.
    fn must_understand(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// A request as it travels: its own fields and the list of those that must be understood.
#[derive(Serialize)]
struct Envelope<'a, R> {
    #[serde(flatten)]
    body: &'a R,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    must_understand: Vec<&'static str>,
}

/// Writes a request as JSON, with its `must_understand`.
///
/// # Errors
/// When a map has a key that is not a string; no request of this schema has one.
pub fn encode<R: Request>(request: &R) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Envelope {
        body: request,
        must_understand: request.must_understand(),
    })
}

/// Small opaque state of one object: made by the plugin, kept and handed back by the host.
///
/// It belongs to the plugin's *name*: a newer version of the plugin must be able to read it by `schema`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of `data`, counted by the plugin.
    pub schema: u32,
    /// Anything, at most 64 KiB as JSON.
    #[serde(default)]
    pub data: serde_json::Value,
}

/// Asks a plugin to open its driver.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InitRequest {
    /// The gantryd this driver serves.
    pub instance: InstanceInfo,
    /// Absolute path of a folder of the driver's own; it exists.
    pub root: String,
    /// The driver's section of the configuration.
    #[serde(default)]
    pub config: serde_json::Map<String, serde_json::Value>,
}

/// Names the gantryd; both values mark everything a driver makes on the host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InstanceInfo {
    /// Short name; kernel names (links, tables) derive from it.
    pub name: String,
    /// Random id, in hex; must be on whatever is deleted.
    pub id: String,
}

/// Answers [`InitRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InitAnswer {}

/// An answer that says nothing but the outcome.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Empty {}

/// A mount which the host makes; the plugin only describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// `bind`, `overlay`, `tmpfs`, or a file system type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is mounted: an absolute path for `bind`, otherwise what the file system wants.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where, relative to the mount point the host chose; empty is the mount point itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Options as `mount -o` takes them: `ro`, `rbind`, `size=64m`. Never layers, which have fields of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Overlay only: absolute paths of the lower layers, the uppermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lower: Vec<String>,
    /// Overlay only: absolute path of the writable layer; without it the overlay is read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<String>,
    /// Overlay only: absolute path of the work folder, on the same file system as `upper`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<String>,
}

impl MountSpec {
    /// A bind mount of one folder or file.
    pub fn bind(source: impl Into<String>, read_only: bool) -> Self {
        let options = if read_only {
            vec!["rbind".into(), "ro".into()]
        } else {
            vec!["rbind".into()]
        };
        Self {
            kind: "bind".into(),
            source: source.into(),
            options,
            ..Self::default()
        }
    }

    /// An overlay; read-only without `writable`, which is upper and work.
    pub fn overlay(lower: Vec<String>, writable: Option<(String, String)>) -> Self {
        let (upper, work) = writable.unzip();
        Self {
            kind: "overlay".into(),
            source: "overlay".into(),
            lower,
            upper,
            work,
            ..Self::default()
        }
    }
}

/// Space taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files and folders.
    pub inodes: u64,
}

#[cfg(test)]
mod tests;
