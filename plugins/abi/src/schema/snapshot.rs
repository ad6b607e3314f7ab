//! Payloads of the kind `snapshotter`.
//!
//! Words: a snapshot is *active* (writable, made by `prepare`), a *view* (read-only, made by `view`) or *committed* (a
//! layer others can be made on). Keys are chosen by the host. Life: `prepare` → written to → `commit` under a name →
//! parent of others; or `prepare`/`view` → used by a container → `remove`. A parent is never removed before its
//! children (`InUse`).

use serde::{Deserialize, Serialize};

use super::{Empty, Labels, MountSpec, Request, State, Usage};

macro_rules! request {
    ($name:ty, $table:literal, $function:literal, $answer:ty) => {
        impl Request for $name {
            type Answer = $answer;
            const TABLE: &'static str = $table;
            const FUNCTION: &'static str = $function;
        }
    };
}
pub(super) use request;

/// Makes an active snapshot on top of a committed one. Asked again with the same key and parent, it answers the same
/// mounts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PrepareRequest {
    /// The new snapshot's key.
    pub key: String,
    /// A committed snapshot; none starts from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Kept with the snapshot.
    #[serde(default)]
    pub labels: Labels,
}
request!(PrepareRequest, "snapshotter", "prepare", MountsAnswer);

/// Makes a read-only snapshot of a committed one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ViewRequest {
    /// The new view's key.
    pub key: String,
    /// A committed snapshot; none is an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Kept with the snapshot.
    #[serde(default)]
    pub labels: Labels,
}
request!(ViewRequest, "snapshotter", "view", MountsAnswer);

/// How to mount a snapshot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MountsAnswer {
    /// In the order in which the host makes them.
    pub mounts: Vec<MountSpec>,
    /// State of the snapshot, if the driver keeps any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// Makes an active snapshot a committed one under a name; the key is free afterwards. Asked again when the name is
/// committed and the key is gone, it is done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CommitRequest {
    /// The active snapshot.
    pub key: String,
    /// Name of the committed one.
    pub name: String,
    /// Kept with the committed snapshot.
    #[serde(default)]
    pub labels: Labels,
}
request!(CommitRequest, "snapshotter", "commit", CommitAnswer);

/// Answers [`CommitRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CommitAnswer {
    /// State of the committed snapshot, if the driver keeps any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// Asks how to mount an active snapshot or a view.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MountsRequest {
    /// The snapshot.
    pub key: String,
}
request!(MountsRequest, "snapshotter", "mounts", MountsAnswer);

/// Removes a snapshot; one that is not there is done. `InUse` while others are made on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RemoveRequest {
    /// Key or committed name.
    pub key: String,
}
request!(RemoveRequest, "snapshotter", "remove", Empty);

/// Asks about one snapshot; `NotFound` when it is not there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StatRequest {
    /// Key or committed name.
    pub key: String,
}
request!(StatRequest, "snapshotter", "stat", Info);

/// What a snapshot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Writable.
    #[default]
    Active,
    /// Read-only.
    View,
    /// A layer.
    Committed,
}

/// One snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Key or committed name.
    pub key: String,
    /// What it is made on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// As given at `prepare`, `view` or `commit`.
    #[serde(default)]
    pub labels: Labels,
}

/// Lists every snapshot, to find leftovers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ListRequest {}
request!(ListRequest, "snapshotter", "list", ListAnswer);

/// Answers [`ListRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ListAnswer {
    /// In any order.
    pub snapshots: Vec<Info>,
}

/// Asks for the space of one snapshot without its parents.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UsageRequest {
    /// Key or committed name.
    pub key: String,
}
request!(UsageRequest, "snapshotter", "usage", Usage);

/// Frees what removed snapshots left behind (`remove` may leave slow work to this).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CleanupRequest {}
request!(CleanupRequest, "snapshotter", "cleanup", CleanupAnswer);

/// Answers [`CleanupRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CleanupAnswer {
    /// How many leftovers were removed.
    pub removed: u64,
}

/// Extension `snapshotter.diff`: what one snapshot changed against its parent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DiffRequest {
    /// Key or committed name.
    pub key: String,
}
request!(DiffRequest, "snapshotter.diff", "diff", DiffAnswer);

/// Answers [`DiffRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DiffAnswer {
    /// Absolute path of a folder that holds only the changes, deletions as overlay whiteouts.
    pub path: String,
}
