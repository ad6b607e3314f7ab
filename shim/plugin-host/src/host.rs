//! All plugins of a daemon: found, checked, opened, listed.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gantry_model::driver::{Drivers, NetworkDriver, Snapshotter, VolumeDriver};
use gantry_model::plugin::{PluginInfo, PluginKind, PluginStatus};
use gantry_model::{Error, Result};
use gantry_plugin_loader::crash::Mark;
use gantry_plugin_loader::{Candidate, find};
use tokio::sync::mpsc;

use crate::config::HostConfig;
use crate::drivers::Driver;
use crate::plugin::Plugin;
use crate::quarantine::Quarantine;
use gantry_model::plugin::LateResult;

mod open;

/// Why there is no plugin host at all. A single plugin that fails is listed as failed and no error.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {source}", path.display())]
pub struct LoadError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

type Key = (PluginKind, String);

/// All plugins of a daemon.
pub struct PluginHost {
    plugins: BTreeMap<Key, Slot>,
    late: Mutex<Option<mpsc::UnboundedReceiver<LateResult>>>,
    shared: Arc<Shared>,
    /// Held while a plugin is opened again.
    opening: Mutex<()>,
}

/// The place of a plugin that was found: what is in it changes when its quarantine is lifted.
struct Slot(Mutex<Entry>);

/// A plugin that was found.
#[derive(Clone)]
struct Entry {
    info: PluginInfo,
    /// None when it was not opened; `info` says why.
    plugin: Option<Arc<Plugin>>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is now.
    fn now(&self) -> PluginInfo {
        let Entry { mut info, plugin } = self.lock().clone();
        let Some(plugin) = &plugin else {
            return info;
        };
        info.calls = plugin.pool.running();
        info.in_flight = plugin.flights.list();
        (info.late_answers, info.last_late) = plugin.flights.late_answers();
        if let Some(call) = plugin.poisoned.get() {
            info.status = PluginStatus::Poisoned;
            info.reason = format!("it panicked in {call}; it is refused until the daemon restarts");
        }
        if let Some(why) = plugin.backend.refused() {
            (info.status, info.reason) = (PluginStatus::Quarantined, why);
            info.quarantined_since = plugin.quarantined_since();
        }
        info
    }
}

/// What every plugin of a host shares.
struct Shared {
    config: HostConfig,
    mark: Arc<Mark>,
    quarantine: Arc<Quarantine>,
    late: mpsc::UnboundedSender<LateResult>,
    /// `<root>/plugins`.
    store: PathBuf,
}

impl PluginHost {
    /// Looks through the folders and opens what is there, all at once. Blocks until every plugin has answered or its
    /// time is over: not for a thread of an async runtime.
    ///
    /// # Errors
    /// When the folder of copies or the mark cannot be used. A folder of plugins that cannot be used is logged.
    pub fn load(config: HostConfig) -> std::result::Result<Arc<Self>, LoadError> {
        let store = config.root.join("plugins");
        make_folder(&store, 0o700).map_err(|source| failed("make folder", &store, source))?;
        let calls = store.join("calls");
        let (mark, left) = Mark::open(&calls)
            .map_err(|source| failed("open the mark of calls", &calls, source))?;
        mark.install()
            .map_err(|source| failed("watch for crashes in calls of", &calls, source))?;
        let quarantine = Quarantine::open(&store, config.quarantine_window, &left)
            .map_err(|source| failed("record a crash in", &store, source))?;
        let candidates = candidates(&config);
        let (late, receiver) = mpsc::unbounded_channel();
        let (mark, quarantine) = (Arc::new(mark), Arc::new(quarantine));
        let shared = Arc::new(Shared {
            config,
            mark,
            quarantine,
            late,
            store,
        });
        let entries = open::all(&shared, candidates);
        sweep(&shared.store, &entries);
        let mut plugins = BTreeMap::new();
        for entry in entries {
            tell(&entry.info);
            let key = (entry.info.kind, entry.info.name.clone());
            plugins.insert(key, Slot(Mutex::new(entry)));
        }
        Ok(Arc::new(Self {
            plugins,
            late: Mutex::new(Some(receiver)),
            shared,
            opening: Mutex::default(),
        }))
    }

    /// Answers of calls whose callers had gone. Only the first caller gets it.
    pub fn late(&self) -> Option<mpsc::UnboundedReceiver<LateResult>> {
        self.late
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn driver(&self, kind: PluginKind, name: &str) -> Result<Arc<Driver>> {
        let label = format!("{} plugin {name:?}", kind.as_str());
        let entry = self.plugins.get(&(kind, name.to_owned()));
        let slot = entry.ok_or_else(|| Error::not_found(format!("no {label} is loaded")))?;
        let entry = slot.lock();
        match &entry.plugin {
            Some(plugin) => Ok(Arc::new(Driver(Arc::clone(plugin)))),
            None => {
                let how = match entry.info.status {
                    PluginStatus::Quarantined => "is in quarantine",
                    _ => "could not be loaded",
                };
                Err(Error::unavailable(format!(
                    "{label} {how}: {}",
                    entry.info.reason
                )))
            }
        }
    }

    /// Opens what was left out at the start, from the file that is there now. Blocks as long as it takes to open.
    fn open_again(&self, kind: PluginKind, name: &str, slot: &Slot) -> Result<()> {
        let label = format!("{}/{name}", kind.as_str());
        let _one = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.lock().plugin.is_some() {
            return Ok(());
        }
        let found = candidates(&self.shared.config);
        let opened = open::one(&self.shared, kind, name, found).ok_or_else(|| {
            Error::not_found(format!(
                "the file of plugin {label} is there no more; its crashes are forgotten"
            ))
        })?;
        tell(&opened.info);
        *slot.lock() = opened;
        Ok(())
    }
}

impl Drivers for PluginHost {
    fn snapshotter(&self, name: &str) -> Result<Arc<dyn Snapshotter>> {
        Ok(self.driver(PluginKind::Snapshotter, name)?)
    }

    fn network(&self, name: &str) -> Result<Arc<dyn NetworkDriver>> {
        Ok(self.driver(PluginKind::Network, name)?)
    }

    fn volume(&self, name: &str) -> Result<Arc<dyn VolumeDriver>> {
        Ok(self.driver(PluginKind::Volume, name)?)
    }

    fn list(&self) -> Vec<PluginInfo> {
        self.plugins.values().map(Slot::now).collect()
    }

    fn release(&self, kind: PluginKind, name: &str) -> Result<PluginInfo> {
        let label = format!("{}/{name}", kind.as_str());
        let slot = self.plugins.get(&(kind, name.to_owned()));
        let slot = slot.ok_or_else(|| Error::not_found(format!("there is no plugin {label}")))?;
        if slot.now().status != PluginStatus::Quarantined {
            return Err(Error::failed_precondition(format!(
                "plugin {label} is not in quarantine"
            )));
        }
        self.shared.quarantine.forget(&label).map_err(|error| {
            Error::internal(format!("forget the crashes of plugin {label}: {error}"))
        })?;
        tracing::info!(plugin = label, "its quarantine was lifted");
        let opened = slot.lock().plugin.clone();
        match opened {
            Some(plugin) => plugin.backend.readmit(),
            None => self.open_again(kind, name, slot)?,
        }
        Ok(slot.now())
    }
}

fn candidates(config: &HostConfig) -> Vec<Candidate> {
    let mut all = Vec::new();
    for (folder, trust) in &config.folders {
        match find(folder, *trust) {
            Ok(found) => all.extend(found),
            Err(error) => tracing::error!(%error, "cannot look for plugins"),
        }
    }
    all
}

/// Removes copies that no plugin uses any more: of older versions, of plugins taken away, of copying cut short.
fn sweep(store: &Path, entries: &[Entry]) {
    // One that was still opening when its time was over may yet be opened from its copy.
    if entries
        .iter()
        .any(|entry| entry.info.loaded_from.is_empty())
    {
        return;
    }
    let Ok(folder) = std::fs::read_dir(store) else {
        return;
    };
    for file in folder.flatten() {
        let path = file.path();
        let name = file.file_name();
        let name = name.to_string_lossy();
        let used = entries
            .iter()
            .any(|entry| Path::new(&entry.info.loaded_from) == path);
        if (name.ends_with(".so") || name.starts_with(".new-")) && !used {
            match std::fs::remove_file(&path) {
                Ok(()) => {
                    tracing::info!(path = %path.display(), "removed a copy of a library that is not used")
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove an old copy")
                }
            }
        }
    }
}

fn tell(info: &PluginInfo) {
    let (kind, name, file, version) = (info.kind.as_str(), &info.name, &info.file, &info.version);
    match info.status {
        PluginStatus::Active => tracing::info!(kind, name, file, version, "plugin opened"),
        _ => {
            tracing::error!(kind, name, file, status = ?info.status, reason = info.reason, "plugin not opened")
        }
    }
}

fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> LoadError {
    LoadError {
        what,
        path: path.into(),
        source,
    }
}
