//! Plugins as the engine knows them: by kind and name, with an opaque state per object.

use serde::{Deserialize, Serialize};

use crate::operation::Outcome;
use crate::{OperationId, Timestamp};

/// What a plugin provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// Layers and writable layers.
    Snapshotter,
    /// Networks.
    Network,
    /// Volumes.
    Volume,
}

impl PluginKind {
    /// `snapshotter`, `network` or `volume`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshotter => "snapshotter",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// A driver's small opaque state of one object. It belongs to the plugin's name; the engine commits it with the object
/// and hands it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginState {
    /// Schema number of `data`, the plugin's own.
    #[serde(default)]
    pub schema: u32,
    /// JSON text, at most 64 KiB.
    #[serde(default)]
    pub data: String,
}

/// How a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginStatus {
    /// Serves.
    Active,
    /// Not loaded: it was caught in a call at repeated crashes.
    Quarantined,
    /// A panic was contained; it is refused until the daemon starts anew.
    Poisoned,
    /// Could not be loaded.
    Failed,
}

/// One plugin for `gantry plugin list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginInfo {
    /// Kind.
    pub kind: PluginKind,
    /// Name users say.
    pub name: String,
    /// Plugin's own version.
    pub version: String,
    /// Interface version it was built for: `major.minor`.
    pub interface: String,
    /// Capabilities it has.
    pub capabilities: Vec<String>,
    /// File it was found as.
    pub file: String,
    /// Copy that is mapped: `<root>/plugins/<sha256>.so`.
    pub loaded_from: String,
    /// `in-process` or `runner`.
    pub isolation: String,
    /// How it is.
    pub status: PluginStatus,
    /// Why, when it is not active.
    pub reason: String,
    /// Calls in flight.
    pub calls: usize,
    /// Those calls, oldest first, and those that wait for a thread.
    #[serde(default)]
    pub in_flight: Vec<PluginCall>,
    /// How many calls have returned after their callers had been told that the outcome is not known.
    #[serde(default)]
    pub late_answers: u64,
    /// The last of them, in words.
    #[serde(default)]
    pub last_late: String,
    /// When it was put into quarantine; zero when it is not.
    #[serde(default)]
    pub quarantined_since: Timestamp,
}

impl PluginInfo {
    /// One of which nothing but kind and name is known yet.
    pub fn new(kind: PluginKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            version: String::new(),
            interface: String::new(),
            capabilities: Vec::new(),
            file: String::new(),
            loaded_from: String::new(),
            isolation: String::new(),
            status: PluginStatus::Active,
            reason: String::new(),
            calls: 0,
            in_flight: Vec::new(),
            late_answers: 0,
            last_late: String::new(),
            quarantined_since: Timestamp::default(),
        }
    }
}

/// A call that a plugin has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginCall {
    /// Function.
    pub function: String,
    /// Objects it changes, locked until it returns; none for one that only reads.
    pub objects: Vec<String>,
    /// The operation it belongs to.
    pub operation: OperationId,
    /// When it was asked for.
    pub since: Timestamp,
    /// When it must have returned.
    pub deadline: Timestamp,
    /// Its caller was told that the outcome is not known.
    pub late: bool,
}

/// What became of a call whose outcome had been reported as unknown, or whose caller went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateResult {
    /// Kind of the plugin.
    pub kind: PluginKind,
    /// Name of the plugin.
    pub plugin: String,
    /// Function that was called.
    pub function: &'static str,
    /// Objects it changed: keys, ids or names; their locks are free again.
    pub objects: Vec<String>,
    /// The operation it belonged to.
    pub operation: OperationId,
    /// What became of it, as the plugin says.
    pub outcome: Outcome,
    /// What the plugin said, when it was not done.
    pub message: String,
}
