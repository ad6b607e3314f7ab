//! What is done by itself: starting again after an exit, and probing health.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// When a container is started again after its run has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When its exit code is not 0, at most `max_retries` times in a row.
    OnFailure,
    /// Always, but for one a user has stopped: that one starts after the next boot.
    Always,
    /// Always, but for one a user has stopped.
    UnlessStopped,
}

/// A restart policy with its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartSpec {
    /// When.
    pub policy: RestartPolicy,
    /// `OnFailure`: how often; 0 for no bound.
    pub max_retries: u32,
}

/// Where restarts of a container stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartState {
    /// Restarts by policy since a user last started it.
    pub count: u32,
    /// The next start is due then; `None` when none is.
    pub due: Option<Timestamp>,
    /// Milliseconds of the last back-off; 0 before the first.
    pub backoff: u64,
    /// A user stopped or killed it, and it was not started since.
    pub stopped_by_user: bool,
    /// Its last start was the policy's and not a user's.
    pub by_policy: bool,
}

/// How a container's health is probed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthSpec {
    /// Program and arguments; empty: no probe at all (`NONE`).
    pub command: Vec<String>,
    /// Nanoseconds from the end of a probe to the next; 0: 30 s.
    pub interval: u64,
    /// Nanoseconds a probe may take; 0: 30 s.
    pub timeout: u64,
    /// Nanoseconds after the start in which failures do not count; 0: none.
    pub start_period: u64,
    /// Nanoseconds between probes in that time; 0: 5 s.
    pub start_interval: u64,
    /// Failures in a row that make it unhealthy; 0: 3.
    pub retries: u32,
}

/// Health as last probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe is configured, or none applies.
    #[default]
    None,
    /// Not known yet.
    Starting,
    /// The last probe passed.
    Healthy,
    /// Too many in a row failed.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A container's health: where it stands and the last probes (five at most).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Where it stands.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// Oldest first.
    pub log: Vec<Probe>,
}

/// One probe that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// 0 passed, anything else failed; -1: it could not be run or took too long.
    pub exit_code: i32,
    /// What it wrote, 4096 bytes at most.
    pub output: String,
}
