//! Which plugins crashed the daemon, and which of them must not be opened for now.
//!
//! A crash is counted against a kind, name *and* digest: a repaired library starts with a clean record.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gantry_model::Timestamp;
use gantry_plugin_loader::crash::Left;
use serde::{Deserialize, Serialize};

/// Crashes within the window that put a plugin into quarantine.
const LIMIT: usize = 2;
/// Most crashes that are remembered.
const REMEMBERED: usize = 256;

/// One crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Crash {
    /// `kind/name`.
    plugin: String,
    sha256: String,
    /// What it was doing.
    call: String,
    /// Seconds since 1970.
    at: u64,
}

/// Why a plugin must not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// In words.
    pub(crate) why: String,
    /// When it crashed last.
    pub(crate) since: Timestamp,
}

/// The record of crashes.
pub(crate) struct Quarantine {
    file: PathBuf,
    window: Duration,
    crashes: Mutex<Vec<Crash>>,
}

/// The text of a mark: what [`Quarantine::open`] reads back.
pub(crate) fn mark(plugin: &str, sha256: &str, call: &str) -> String {
    format!("{plugin} {} {call}", &sha256[..sha256.len().min(16)])
}

impl Quarantine {
    /// Reads the record and adds what the last process left in its mark. A record that cannot be read is an empty one:
    /// it must not keep the daemon down.
    pub(crate) fn open(folder: &Path, window: Duration, left: &[Left]) -> io::Result<Self> {
        let file = folder.join("crashes.json");
        let known = fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let this = Self {
            file,
            window,
            crashes: Mutex::new(known.unwrap_or_default()),
        };
        for left in left {
            if !left.crashed {
                let call = &left.what;
                tracing::warn!(call, "in flight when the last daemon was killed");
                continue;
            }
            let mut words = left.what.splitn(3, ' ');
            let (plugin, sha256) = (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            );
            this.add(plugin, sha256, words.next().unwrap_or_default())?;
        }
        Ok(this)
    }

    /// Records a crash, durably: the next one may follow at once.
    pub(crate) fn add(&self, plugin: &str, sha256: &str, call: &str) -> io::Result<()> {
        tracing::error!(plugin, call, "the plugin crashed");
        let crash = Crash {
            plugin: plugin.into(),
            sha256: short(sha256),
            call: call.into(),
            at: now(),
        };
        let mut crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        crashes.push(crash);
        let surplus = crashes.len().saturating_sub(REMEMBERED);
        crashes.drain(..surplus);
        self.write(&crashes)
    }

    /// Forgets the crashes of a plugin, whichever library they were of.
    pub(crate) fn forget(&self, plugin: &str) -> io::Result<()> {
        let mut crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        crashes.retain(|crash| crash.plugin != plugin);
        self.write(&crashes)
    }

    fn write(&self, crashes: &[Crash]) -> io::Result<()> {
        let temporary = self.file.with_extension("new");
        gantry_fault::pass("plugin-host.quarantine.before-write");
        fs::write(&temporary, serde_json::to_vec(crashes)?)?;
        fs::File::open(&temporary)?.sync_all()?;
        gantry_fault::pass("plugin-host.quarantine.before-rename");
        fs::rename(&temporary, &self.file)?;
        gantry_fault::pass("plugin-host.quarantine.after-rename");
        Ok(())
    }

    /// Why a plugin must not be opened, if so.
    pub(crate) fn verdict(&self, plugin: &str, sha256: &str) -> Option<Verdict> {
        let since = now().saturating_sub(self.window.as_secs());
        let crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        let recent: Vec<&Crash> = crashes
            .iter()
            .filter(|crash| {
                crash.plugin == plugin && crash.sha256 == short(sha256) && crash.at >= since
            })
            .collect();
        let last = recent.last()?;
        (recent.len() >= LIMIT).then(|| {
            let (count, minutes) = (recent.len(), self.window.as_secs() / 60);
            Verdict {
                why: format!(
                    "crashed {count} times within {minutes} minutes, the last time in {}",
                    last.call
                ),
                since: Timestamp(
                    i64::try_from(last.at)
                        .unwrap_or(0)
                        .saturating_mul(1_000_000_000),
                ),
            }
        })
    }
}

fn short(sha256: &str) -> String {
    sha256.chars().take(16).collect()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(what: &str, crashed: bool) -> Left {
        Left {
            what: what.into(),
            crashed,
        }
    }

    #[test]
    fn two_crashes_of_one_library_within_the_window() {
        let folder = tempfile::tempdir().unwrap();
        let sha = "0123456789abcdef0123456789abcdef";
        let window = Duration::from_secs(600);
        let crash = left(&mark("volume/x", sha, "create op v"), true);
        let first = Quarantine::open(
            folder.path(),
            window,
            &[crash.clone(), left("volume/y 00 z", false)],
        )
        .unwrap();
        assert_eq!(first.verdict("volume/x", sha), None);
        let second = Quarantine::open(folder.path(), window, &[crash]).unwrap();
        let why = second.verdict("volume/x", sha).unwrap().why;
        assert!(
            why.contains("2 times") && why.contains("create op v"),
            "{why}"
        );
        assert_eq!(
            second.verdict("volume/x", "fedcba9876543210"),
            None,
            "another library of that name"
        );
        assert_eq!(second.verdict("volume/y", "00"), None);
        second.forget("volume/x").unwrap();
        assert_eq!(second.verdict("volume/x", sha), None);
        let third = Quarantine::open(folder.path(), window, &[]).unwrap();
        assert_eq!(
            third.verdict("volume/x", sha),
            None,
            "forgotten on disk, too"
        );
    }

    #[test]
    fn a_damaged_record_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("crashes.json"), "{").unwrap();
        let opened = Quarantine::open(folder.path(), Duration::from_secs(1), &[]).unwrap();
        assert_eq!(opened.verdict("volume/x", "00"), None);
    }
}
