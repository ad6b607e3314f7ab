//! A cgroup for each helper, so that everything it is can be ended together before anything of its operation is undone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gantry_model::{Error, Result};
use gantry_sys::Errno;
use gantry_sys::cgroup::{Group, Hierarchies, Version};

/// Between two looks at a group that is being emptied.
const AGAIN: Duration = Duration::from_millis(2);

/// How long killed processes may take to end. One that hangs in a file system may take for ever.
const ENDING: Duration = Duration::from_secs(30);

/// Where helpers' cgroups go. Without a path helpers stay in the daemon's.
pub(crate) struct Groups {
    all: Option<Group>,
    next: AtomicU64,
}

/// One helper's cgroup.
pub(crate) struct Own(Option<Group>);

impl Groups {
    /// Kills and removes what a daemon that was killed left there.
    ///
    /// # Errors
    /// `Internal` when the cgroups cannot be read or emptied.
    pub(crate) fn open(path: Option<&str>) -> Result<Self> {
        let next = AtomicU64::new(0);
        let Some(path) = path else {
            return Ok(Self { all: None, next });
        };
        let hierarchies = Hierarchies::detect().map_err(failed)?;
        let all = Group::at(&hierarchies, path, &[]).map_err(failed)?;
        let deadline = std::time::Instant::now() + ENDING;
        while !empty(&all)? {
            if std::time::Instant::now() > deadline {
                return Err(Error::deadline(format!(
                    "helpers of an earlier gantryd in the cgroup {path} do not end"
                )));
            }
            std::thread::park_timeout(AGAIN);
        }
        Ok(Self {
            all: Some(all),
            next,
        })
    }

    /// Makes a cgroup for one helper.
    ///
    /// # Errors
    /// `ResourceExhausted` when there may be no more cgroups, `Internal` otherwise.
    pub(crate) fn enter(&self) -> Result<Own> {
        let Some(all) = &self.all else {
            return Ok(Own(None));
        };
        gantry_fault::point("image.helper-cgroup.before-make")?;
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let group = all.child(&name).map_err(failed)?;
        group.create().map_err(failed)?;
        gantry_fault::point("image.helper-cgroup.after-make")?;
        Ok(Own(Some(group)))
    }
}

impl Own {
    /// Files the helper writes `0` to.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Some(group) = &self.0 else {
            return Vec::new();
        };
        let file = match group.version() {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.procs",
        };
        // The one directory that is its own; on v1 the others are nobody's.
        let own = group.dir("pids").or_else(|| {
            let first = group.controllers().next()?;
            group.dir(first)
        });
        own.map(|dir| dir.join(file)).into_iter().collect()
    }

    /// Kills what is left in it, waits until that has ended, and removes it.
    ///
    /// # Errors
    /// `Unknown` when a process does not end: nothing may be undone then.
    pub(crate) async fn end(mut self) -> Result<()> {
        let Some(group) = self.0.take() else {
            return Ok(());
        };
        let deadline = tokio::time::Instant::now() + ENDING;
        while !empty(&group)? {
            if tokio::time::Instant::now() > deadline {
                return Err(Error::unknown(format!(
                    "processes of the helper in the cgroup {} do not end",
                    group.path()
                )));
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }
}

impl Drop for Own {
    /// For a call that was dropped: killed at least; what cannot be removed yet goes at the next start.
    fn drop(&mut self) {
        if let Some(group) = &self.0 {
            let _ = empty(group);
        }
    }
}

/// Kills and removes; `false` while something is still ending.
fn empty(group: &Group) -> Result<bool> {
    if group.kill().map_err(failed)? > 0 {
        return Ok(false);
    }
    gantry_fault::pass("image.helper-cgroup.before-remove");
    match group.remove() {
        Err(e) if e.errno() == Errno::EBUSY => Ok(false),
        other => other.map_err(failed).map(|()| true),
    }
}

fn failed(e: gantry_sys::Error) -> Error {
    match e.errno() {
        Errno::ENOSPC | Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => {
            Error::exhausted(e.to_string())
        }
        _ => Error::internal(e.to_string()),
    }
}
