//! What the command line runner remembers between calls: one small file per container.

use super::log::Log;
use crate::error::{FailureKind, LaunchError, Result};
use crate::hooks::{self, Stage, State as Report, VERSION};
use gantry_sys::cgroup::{Group, Hierarchies};
use gantry_sys::{boot, process};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A container as recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) pid: i32,
    /// Start time of that pid: a reused one is never signalled.
    pub(super) started: u64,
    pub(super) cgroup: String,
    #[serde(default)]
    pub(super) annotations: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    pub(super) created: String,
}

impl State {
    /// As hooks are told.
    pub(super) fn told(&self, status: &'static str) -> Report {
        Report {
            oci_version: VERSION,
            id: self.id.clone(),
            status,
            pid: Some(self.pid).filter(|_| status != "stopped"),
            bundle: self.bundle.clone(),
            annotations: self.annotations.clone(),
        }
    }

    /// The container's cgroup.
    pub(super) fn group(&self) -> Result<Group> {
        let extra = ["cpuset", "blkio", "hugetlb"];
        Ok(Group::at(&Hierarchies::detect()?, &self.cgroup, &extra)?)
    }

    /// The same with no more controllers than its configuration needs, for a process that is to enter it.
    pub(super) fn entered_group(&self, spec: &oci_spec::runtime::Spec) -> Result<Group> {
        let extra = crate::limits(spec)?.extra_controllers();
        Ok(Group::at(&Hierarchies::detect()?, &self.cgroup, &extra)?)
    }

    /// The first process, which must be alive.
    pub(super) fn open(&self) -> Result<OwnedFd> {
        let gone = || {
            LaunchError::new(
                FailureKind::Gone,
                format!("container {:?} is not running", self.id),
            )
        };
        if !self.alive() {
            return Err(gone());
        }
        let pidfd = process::pidfd_open(self.pid)?;
        // Opened before looking again: now it is the one that was looked at.
        if self.alive() { Ok(pidfd) } else { Err(gone()) }
    }

    fn alive(&self) -> bool {
        let ended = |stat: String| {
            stat.rsplit_once(')')
                .is_none_or(|(_, r)| r.trim_start().starts_with(['Z', 'X']))
        };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        boot::start_time(self.pid).is_ok_and(|t| t == self.started) && stat.is_ok_and(|s| !ended(s))
    }
}

/// A loaded container: its record and whether its keeper still waits for `start`.
pub(super) struct Loaded {
    pub(super) state: State,
    waiting: bool,
}

impl Loaded {
    pub(super) fn report(self) -> Report {
        let frozen = || self.state.group().and_then(|g| Ok(g.is_frozen()?));
        let status = match (self.state.alive(), self.waiting) {
            (false, _) => "stopped",
            (true, _) if frozen().unwrap_or(false) => "paused",
            (true, true) => "created",
            (true, false) => "running",
        };
        self.state.told(status)
    }
}

/// The folder of one container.
pub(super) struct Store {
    pub(super) id: String,
    dir: PathBuf,
}

fn io(what: &str, path: &Path, e: &std::io::Error) -> LaunchError {
    gantry_sys::Error::from_io(format!("{what} {}", path.display()), e).into()
}

impl Store {
    pub(super) fn new(root: &Path, id: &str) -> Result<Self> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "_-+.".contains(c);
        if id.is_empty() || id.len() > 128 || !id.chars().all(fine) || id.starts_with('.') {
            return Err(LaunchError::spec(format!("container id {id:?}")));
        }
        Ok(Self {
            id: id.into(),
            dir: root.join(id),
        })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("start.sock")
    }

    /// Claims the id.
    pub(super) fn claim(&self) -> Result<()> {
        if let Some(parent) = self.dir.parent() {
            std::fs::create_dir_all(parent).map_err(|e| io("make", parent, &e))?;
        }
        std::fs::create_dir(&self.dir).map_err(|e| io("claim container id, make", &self.dir, &e))
    }

    pub(super) fn save(&self, state: &State) -> Result<()> {
        let (path, next) = (self.dir.join("state.json"), self.dir.join("state.next"));
        let text = serde_json::to_vec(state).map_err(|e| LaunchError::spec(e.to_string()))?;
        std::fs::write(&next, text).map_err(|e| io("write", &next, &e))?;
        std::fs::rename(&next, &path).map_err(|e| io("replace", &path, &e))
    }

    pub(super) fn load(&self) -> Result<Loaded> {
        let path = self.dir.join("state.json");
        let missing = |e: &std::io::Error| LaunchError {
            kind: FailureKind::Gone,
            message: format!("container {:?} does not exist: {e}", self.id),
            errno: 0,
        };
        let text = std::fs::read(&path).map_err(|e| missing(&e))?;
        let state = serde_json::from_slice(&text)
            .map_err(|e| LaunchError::spec(format!("{}: {e}", path.display())))?;
        Ok(Loaded {
            state,
            waiting: self.socket().try_exists().unwrap_or(false),
        })
    }

    /// Forgets the container; what is not there is fine.
    pub(super) fn forget(&self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// Keeps the configuration: what happens to the bundle's later does not matter.
    pub(super) fn keep_config(&self, text: &[u8]) -> Result<()> {
        let path = self.config();
        std::fs::write(&path, text).map_err(|e| io("write", &path, &e))
    }

    /// A state of a container that was never recorded, or is no more.
    pub(super) fn bare_state(&self, status: &'static str) -> Report {
        self.load().map_or_else(
            |_| Report {
                oci_version: VERSION,
                id: self.id.clone(),
                status,
                pid: None,
                bundle: PathBuf::new(),
                annotations: std::collections::BTreeMap::new(),
            },
            |loaded| loaded.state.told(status),
        )
    }

    pub(super) fn kill(&self, signal: &str, all: bool) -> Result<i32> {
        let state = self.load()?.state;
        let number =
            signal_number(signal).ok_or_else(|| LaunchError::spec(format!("signal {signal:?}")))?;
        if all {
            return kill_all(&state, number);
        }
        process::pidfd_send_signal(&state.open()?, number)?;
        Ok(0)
    }

    pub(super) fn delete(&self, force: bool, log: &Log) -> Result<i32> {
        let state = match self.load() {
            Err(e) if force && e.kind == FailureKind::Gone => {
                self.forget();
                return Ok(0);
            }
            other => other?.state,
        };
        if state.alive() {
            if !force {
                return Err(LaunchError::new(
                    FailureKind::System,
                    format!("container {:?} is not stopped", self.id),
                ));
            }
            let pidfd = process::pidfd_open(state.pid)?;
            process::pidfd_send_signal(&pidfd, libc::SIGKILL)?;
            // A frozen process ends when it is thawed.
            let _ = state.group().and_then(|g| Ok(g.thaw()?));
            wait_for_end(&pidfd);
        }
        // Read before it is forgotten; a container of an older runner has none.
        let spec = super::launch::read_spec(&self.config())
            .ok()
            .map(|(s, _)| s);
        remove_group(&state.group()?)?;
        self.forget();
        if let Some(spec) = spec {
            let told = state.told("stopped");
            hooks::run_all(spec.hooks().as_ref(), Stage::Poststop, &told, |e| {
                log.warn(&e.message);
            });
        }
        Ok(0)
    }
}

fn kill_all(state: &State, number: i32) -> Result<i32> {
    for pid in state.group()?.processes()? {
        match process::pidfd_open(pid).and_then(|fd| process::pidfd_send_signal(&fd, number)) {
            Err(e) if e.errno() != gantry_sys::Errno::ESRCH => return Err(e.into()),
            _ => {}
        }
    }
    Ok(0)
}

/// A pidfd becomes readable when the process has ended.
fn wait_for_end(pidfd: &OwnedFd) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let _ = poll(
        &mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)],
        PollTimeout::from(10_000_u16),
    );
}

/// Kills what is left in a group and removes it, while it takes the kernel a moment to let go.
pub(super) fn remove_group(group: &Group) -> Result<()> {
    for _ in 0..100 {
        match group.remove() {
            Err(e) if e.errno() == gantry_sys::Errno::EBUSY => {
                group.kill()?;
                // Nothing tells when a dead process has left its group on v1; a millisecond on no descriptor.
                let _ = nix::poll::poll(&mut [], nix::poll::PollTimeout::from(1_u8));
            }
            other => return Ok(other?),
        }
    }
    Ok(group.remove()?)
}

fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") {
        name
    } else {
        format!("SIG{name}")
    };
    name.parse::<nix::sys::signal::Signal>()
        .ok()
        .map(|s| s as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        assert_eq!(
            (
                signal_number("KILL"),
                signal_number("sigterm"),
                signal_number("9")
            ),
            (Some(9), Some(15), Some(9))
        );
        assert_eq!(
            (
                signal_number("0"),
                signal_number("65"),
                signal_number("NOPE")
            ),
            (None, None, None)
        );
    }
}
