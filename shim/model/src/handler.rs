//! Handlers: OCI runtimes that can make a container in the built-in one's stead, by name.

use serde::{Deserialize, Serialize};

/// How another OCI runtime binary is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runtime {
    /// The handler's name.
    pub name: String,
    /// Absolute path of the binary.
    pub path: String,
    /// Arguments before every command.
    pub options: Vec<String>,
    /// Newest version of the runtime specification it says it takes; empty: it does not say.
    pub version: String,
    /// How it places an exec in a cgroup below its container's.
    pub exec_cgroup: ExecCgroup,
    /// The longest one command may take, in milliseconds; 0: the supervisor's own limit.
    pub timeout_ms: u64,
}

/// The forms of `exec --cgroup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecCgroup {
    /// There is none.
    #[default]
    None,
    /// A path, for all controllers at once.
    Plain,
    /// A path, or on cgroup v1 one of a named controller.
    Controller,
}

/// A configured handler with what its runtime says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// How it is called.
    pub runtime: Runtime,
    /// It can make mounts read-only with all that is mounted below them.
    pub recursive_read_only: bool,
    /// What it said of itself (`features`), as it said it; `Null` for a runtime without that command.
    pub features: serde_json::Value,
    /// Why it cannot be used at all, found at start-up; empty when it can.
    pub problem: String,
}
