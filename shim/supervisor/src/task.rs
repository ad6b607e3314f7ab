//! One process of ours with streams: a container's first one, or an exec.
//!
//! ```text
//!  Making ──ready──▶ Made ──start──▶ Starting ──executed──▶ Running
//!    │                │                 │                     │ ended
//!    │ failed         │ ended           │ failed              ▼
//!    ▼                └────────────▶ Draining ◀───────────────┘
//!  (forgotten)                          │ output drained, rest killed, written down
//!                                       ▼
//!                                     Ended ──delete──▶ (forgotten)
//! ```

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Instant;

use gantry_supervisor_proto::files;
use gantry_supervisor_proto::types::{Exit, TaskState};
use gantry_sys::cgroup::Group;

use crate::runtime::{Held, Launching};
use crate::stdio::Stdio;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    /// Connection.
    pub(crate) connection: u64,
    /// Request on it.
    pub(crate) request: u64,
}

/// Where a task is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Its child prepares itself.
    Making(Waiter),
    /// Blocked before it executes.
    Made,
    /// Told to go.
    Starting(Waiter),
    /// Executed.
    Running,
    /// Reaped; what it left is killed and its output read until then.
    Draining(Instant),
    /// Written down and told.
    Ended,
}

/// What only a container or only an exec has.
#[derive(Debug)]
pub(crate) enum Role {
    /// A container's run.
    Container {
        /// Number of the run.
        run: u32,
        /// Space for its exit.
        slot: File,
        /// Frozen.
        paused: bool,
    },
    /// An exec.
    Exec {
        /// Key of its container.
        container: u32,
        /// From its start; 0 never.
        timeout_ms: u64,
        /// The connection it was made on: it is not started by anybody else.
        maker: u64,
        /// It ends with that connection.
        tied: bool,
        /// When its tree is killed: its time is over, or, until it is let go, nobody came to do so.
        deadline: Option<Instant>,
    },
}

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) role: Role,
    pub(crate) phase: Phase,
    /// Until it has executed.
    pub(crate) pending: Option<Launching>,
    /// What another runtime knows of this container; `None`: it is the built-in one's.
    pub(crate) held: Option<Held>,
    /// Its process; `None` once reaped, and before another runtime has made it.
    pub(crate) process: Option<(i32, OwnedFd)>,
    pub(crate) stdin: bool,
    pub(crate) stdio: Stdio,
    pub(crate) group: Option<Group>,
    /// Its root mount, held so that the unmount is not on the way of its exit.
    pub(crate) rootfs: Option<OwnedFd>,
    pub(crate) started_at: i64,
    /// Set when reaped (or failed); told once [`Phase::Ended`].
    pub(crate) exit: Option<Exit>,
    pub(crate) timed_out: bool,
    /// Its whole tree is to die, whatever becomes of its first process.
    pub(crate) condemned: bool,
    /// The start failed and was answered so: its end is no event.
    pub(crate) silent: bool,
    /// When what is left in its cgroup is killed next.
    pub(crate) kill_again: Option<Instant>,
    /// Who waits for it to be forgotten.
    pub(crate) deleting: Vec<Waiter>,
    /// Its root is being dropped.
    pub(crate) unmounting: bool,
}

impl Task {
    pub(crate) fn is_container(&self) -> bool {
        matches!(self.role, Role::Container { .. })
    }

    /// Another runtime is at it: what is in its streams may be that runtime's, and its process is not to be reaped
    /// before its start is answered.
    pub(crate) fn is_with_runtime(&self) -> bool {
        let foreign = self.pending.as_ref().is_some_and(|p| p.foreign().is_some());
        foreign && !matches!(self.phase, Phase::Made)
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// For messages: `container 0123456789ab`.
    pub(crate) fn name(&self) -> String {
        let kind = if self.is_container() {
            "container"
        } else {
            "exec"
        };
        format!("{kind} {}", self.id.get(..12).unwrap_or(&self.id))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.as_ref().map_or(0, |(pid, _)| *pid)
    }

    /// Its line in the state file; execs have none.
    pub(crate) fn record(&self) -> Option<files::Task> {
        let Role::Container { run, paused, .. } = self.role else {
            return None;
        };
        let state = match self.phase {
            Phase::Making(_) | Phase::Made | Phase::Starting(_) => TaskState::Created,
            Phase::Running | Phase::Draining(_) if paused => TaskState::Paused,
            Phase::Running | Phase::Draining(_) => TaskState::Running,
            Phase::Ended => TaskState::Exited,
        };
        Some(files::Task {
            id: self.id.clone(),
            run,
            state,
            pid: self.pid(),
            started_at: self.started_at,
            exit: self.exit.clone().filter(|_| self.is_ended()),
        })
    }
}
