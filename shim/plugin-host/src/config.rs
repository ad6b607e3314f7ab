//! What a daemon tells the plugin host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use gantry_plugin_loader::Trust;

/// Settings of the plugin host.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Gantry's root: copies of libraries in `plugins/`, the drivers' own folders in `snapshots/`, `networks/` and
    /// `volumes/`.
    pub root: PathBuf,
    /// Folders to look through. Of two plugins of one kind and name the first one found is taken.
    pub folders: Vec<(PathBuf, Trust)>,
    /// Name of the instance.
    pub instance: String,
    /// The instance's random id, in hex.
    pub instance_id: String,
    /// A driver's section of the configuration, by `kind/name`.
    pub settings: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// Plugins, by `kind/name` or `name`, that get a process of their own.
    pub isolate: BTreeSet<String>,
    /// The `gantry-plugin-runner` binary; none refuses plugins of `isolate`.
    pub runner: Option<PathBuf>,
    /// Folder of secrets: `<folder>/<kind>-<name>/<secret>`.
    pub secrets: PathBuf,
    /// Most threads, and so most calls at once, of one plugin.
    pub threads: usize,
    /// Most calls that wait for a thread; above that a call is `Unavailable`.
    pub queue: usize,
    /// The longest a call may take, whatever its caller allows; past it the outcome is unknown.
    pub deadline: Duration,
    /// How long a plugin may take to open.
    pub open_timeout: Duration,
    /// Two crashes within this time put a plugin into quarantine.
    pub quarantine_window: Duration,
    /// How long after its deadline a call in a runner is waited for, before the process is killed.
    pub runner_grace: Duration,
}

impl HostConfig {
    /// The defaults for a root and an instance; no folder is looked through yet.
    pub fn new(
        root: impl Into<PathBuf>,
        instance: impl Into<String>,
        instance_id: impl Into<String>,
    ) -> Self {
        Self {
            root: root.into(),
            folders: Vec::new(),
            instance: instance.into(),
            instance_id: instance_id.into(),
            settings: BTreeMap::new(),
            isolate: BTreeSet::new(),
            runner: None,
            secrets: PathBuf::from("/etc/gantry/secrets"),
            threads: 16,
            queue: 4096,
            deadline: Duration::from_secs(60),
            open_timeout: Duration::from_secs(15),
            quarantine_window: Duration::from_secs(600),
            runner_grace: Duration::from_secs(5),
        }
    }
}
