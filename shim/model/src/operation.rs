//! Operations: one change in progress each, recorded before its first side effect.

use serde::{Deserialize, Serialize};

use crate::{OperationId, Timestamp};

/// What is being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// A container is made.
    CreateContainer,
    /// A run is started.
    StartContainer,
    /// A run is stopped.
    StopContainer,
    /// A container is removed.
    RemoveContainer,
    /// A pod's sandbox is made.
    RunSandbox,
    /// It is stopped.
    StopSandbox,
    /// It is removed.
    RemoveSandbox,
    /// An image is pulled.
    PullImage,
    /// Images are loaded.
    LoadImages,
    /// A network is made.
    CreateNetwork,
    /// It is removed.
    RemoveNetwork,
    /// A volume is made.
    CreateVolume,
    /// It is removed.
    RemoveVolume,
    /// A run is frozen or thawed.
    PauseContainer,
    /// Limits of a container are changed.
    UpdateContainer,
    /// Anything else that calls a driver (collection, exec, attach…), or a kind that a newer release knows.
    #[serde(other)]
    Other,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is not done and nothing of it is left.
    NotDone,
    /// Not known: the object stays locked until it is.
    Unknown,
}

/// An operation's intent, committed before the first side effect and deleted with its outcome. What start-up finds was
/// cut off and is completed or undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Id.
    pub id: OperationId,
    /// What.
    pub kind: OperationKind,
    /// Id or name of the object.
    pub object: String,
    /// When it began.
    pub since: Timestamp,
    /// When it must be over; zero: no limit.
    pub deadline: Timestamp,
}

/// An unfinished operation for `gantry ops`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationView {
    /// Its record.
    #[serde(flatten)]
    pub operation: Operation,
    /// What it waits for, in words: `network driver bridge: join`; empty before its first step.
    pub waits_for: String,
    /// Since when it waits for that.
    pub waits_since: Timestamp,
    /// Its cancel was said.
    pub cancelled: bool,
    /// Nobody works on it: it was cut off or its outcome is not known, and it is taken up again when the plugin answers
    /// or at the next start of the daemon.
    pub stuck: bool,
}
