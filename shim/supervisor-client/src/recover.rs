//! Finding supervisors at start-up: files and locks only, no call, so a thousand of them take milliseconds.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gantry_model::supervisor::{Recovered, Supervisor};
use gantry_model::{Error, Result, SandboxId};
use gantry_supervisor_proto::files::{self, LOCK, State};
use gantry_sys::process::pidfd_open;
use std::os::fd::OwnedFd;
use tokio::sync::mpsc;

use crate::convert;
use crate::link::Link;
use crate::service::Config;
use crate::shim::Shim;

/// A folder that was found.
pub(crate) struct Found {
    id: SandboxId,
    alive: bool,
    state: State,
    stale: bool,
    pidfd: Option<OwnedFd>,
}

/// Looks at every folder in `shims`.
///
/// # Errors
/// Only when that folder cannot be read; one that is not there has none in it.
pub(crate) fn look(shims: &Path) -> Result<Vec<Found>> {
    let boot_id = files::boot_id().map_err(|e| Error::internal(format!("read boot id: {e}")))?;
    let unreadable = |e: io::Error| Error::internal(format!("read {}: {e}", shims.display()));
    let entries = match std::fs::read_dir(shims) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        // Names that are no ids are not ours to judge.
        if let Some(id) = name.to_str().and_then(|n| SandboxId::parse(n).ok()) {
            found.push(look_at(&shims.join(id.as_str()), id, &boot_id));
        }
    }
    Ok(found)
}

fn look_at(folder: &Path, id: SandboxId, boot_id: &str) -> Found {
    let lock = File::options()
        .read(true)
        .write(true)
        .open(folder.join(LOCK));
    // A lock that cannot be probed counts as held: better "unavailable" than a live container shown as gone.
    let held = || match &lock {
        Ok(file) => files::is_locked(file).unwrap_or(true),
        Err(e) => e.kind() != io::ErrorKind::NotFound,
    };
    let read = || {
        files::read_state(folder).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(sandbox = %id, %error, "state of a supervisor is damaged");
            }
            State::default()
        })
    };
    let mut state = read();
    // In this order: a process found by pid is the supervisor only if the lock is still held afterwards.
    let pidfd = (state.pid > 0)
        .then(|| pidfd_open(state.pid).ok())
        .flatten();
    let alive = held();
    if !alive {
        // It may have written its last between our look and its end.
        state = read();
    }
    Found {
        id,
        alive,
        stale: !state.boot_id.is_empty() && state.boot_id != boot_id,
        state,
        pidfd: pidfd.filter(|_| alive),
    }
}

/// Makes the handle of a live one; it connects by itself, and nobody waits for that.
pub(crate) fn connect(config: &Arc<Config>, found: Found) -> Recovered {
    let mut recovered = Recovered {
        id: found.id.clone(),
        alive: found.alive,
        committed: found.state.committed,
        stale: found.stale,
        tasks: found
            .state
            .tasks
            .into_iter()
            .filter_map(convert::task)
            .collect(),
        handle: None,
        events: None,
    };
    let Some(pidfd) = found.pidfd else {
        return recovered;
    };
    let (asks, asked) = mpsc::unbounded_channel();
    let (events_tx, events) = mpsc::unbounded_channel();
    match Link::new(config.folder(&found.id), pidfd, asked, events_tx) {
        Ok(link) => {
            tokio::spawn(link.run());
            let handle: Arc<dyn Supervisor> = Arc::new(Shim {
                id: found.id,
                pid: found.state.pid,
                asks,
                birth: Mutex::new(None),
            });
            recovered.handle = Some(handle);
            recovered.events = Some(events);
        }
        Err(error) => tracing::error!(sandbox = %found.id, %error, "watch a supervisor"),
    }
    recovered
}

#[cfg(test)]
mod tests;
