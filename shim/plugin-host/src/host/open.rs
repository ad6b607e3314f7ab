//! Opens what was found: each plugin on a thread of its own, so that one that hangs costs only itself.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Instant;

use gantry_abi::schema::{InitRequest, InstanceInfo};
use gantry_model::Timestamp;
use gantry_model::plugin::{PluginInfo, PluginKind, PluginStatus};
use gantry_plugin_loader::{
    Candidate, Copied, Found, Identity, Invocation, Library, Reply, monotonic_ms,
};
use gantry_plugin_runner::{Runner, RunnerConfig, StartError};

use super::{Entry, Shared, make_folder};
use crate::backend::Backend;
use crate::flights::Flights;
use crate::locks::Locks;
use crate::plugin::Plugin;
use crate::pool::Pool;
use crate::quarantine::mark;
use crate::services::{self, Services};
use crate::told::Told;

/// Opens all candidates. Of two with the same kind and name the first is taken.
pub(super) fn all(shared: &Arc<Shared>, candidates: Vec<Candidate>) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    let mut waiting = Vec::new();
    for candidate in candidates {
        let Some((kind, info)) = describe(&candidate) else {
            continue;
        };
        if !seen.insert((kind, info.name.clone())) {
            tracing::warn!(
                file = info.file,
                name = info.name,
                "plugin passed over: one of that name was found before"
            );
            continue;
        }
        match candidate.found {
            Err(error) => entries.push(failed(info, PluginStatus::Failed, error.to_string())),
            Ok(found) => waiting.push(start(shared, kind, info, found, Told::default())),
        }
    }
    let until = Instant::now() + shared.config.open_timeout;
    for (info, opened) in waiting {
        let left = until.saturating_duration_since(Instant::now());
        let entry = opened.recv_timeout(left);
        entries.push(entry.unwrap_or_else(|_| too_slow(shared, info)));
    }
    entries
}

/// What can be said of a file before it is opened; none when it is no plugin of a kind we know.
fn describe(candidate: &Candidate) -> Option<(PluginKind, PluginInfo)> {
    let file = candidate.path.display().to_string();
    let Some(identity) = &candidate.identity else {
        if let Err(error) = &candidate.found {
            tracing::warn!(%error, "passed over");
        }
        return None;
    };
    let Some(kind) = kind_of(identity) else {
        tracing::warn!(
            file,
            kind = identity.kind,
            "passed over: a plugin of an unknown kind"
        );
        return None;
    };
    let info = PluginInfo {
        interface: format!("{}.{}", identity.abi_major, identity.abi_minor),
        file,
        ..PluginInfo::new(kind, &identity.name)
    };
    Some((kind, info))
}

fn kind_of(identity: &Identity) -> Option<PluginKind> {
    [
        PluginKind::Snapshotter,
        PluginKind::Network,
        PluginKind::Volume,
    ]
    .into_iter()
    .find(|kind| kind.as_str() == identity.kind)
}

fn failed(mut info: PluginInfo, status: PluginStatus, reason: impl Into<String>) -> Entry {
    (info.status, info.reason) = (status, reason.into());
    Entry { info, plugin: None }
}

/// Opens one of them, while the daemon runs: none when it is not among them.
pub(super) fn one(
    shared: &Arc<Shared>,
    kind: PluginKind,
    name: &str,
    candidates: Vec<Candidate>,
) -> Option<Entry> {
    let mut known = candidates.into_iter().filter_map(|candidate| {
        let (of, info) = describe(&candidate)?;
        (of == kind && info.name == name).then_some((info, candidate.found))
    });
    let (info, found) = known.next()?;
    let found = match found {
        Ok(found) => found,
        Err(error) => return Some(failed(info, PluginStatus::Failed, error.to_string())),
    };
    let (info, opened) = start(shared, kind, info, found, Told::required());
    let entry = opened.recv_timeout(shared.config.open_timeout);
    Some(entry.unwrap_or_else(|_| too_slow(shared, info)))
}

fn too_slow(shared: &Shared, info: PluginInfo) -> Entry {
    let seconds = shared.config.open_timeout.as_secs();
    let why = format!("it did not open within {seconds} s");
    failed(info, PluginStatus::Failed, why)
}

fn start(
    shared: &Arc<Shared>,
    kind: PluginKind,
    info: PluginInfo,
    found: Found,
    told: Told,
) -> (PluginInfo, mpsc::Receiver<Entry>) {
    let (done, opened) = mpsc::channel();
    let (shared, early) = (Arc::clone(shared), info.clone());
    let thread = std::thread::Builder::new().name(format!("open-{}", info.name));
    // Nobody listens any more when it took too long; what it opened then stays unused.
    let spawned = thread.spawn(move || drop(done.send(open(&shared, kind, early, found, told))));
    if let Err(error) = spawned {
        tracing::error!(%error, name = info.name, "cannot start a thread to open a plugin");
    }
    (info, opened)
}

fn open(
    shared: &Shared,
    kind: PluginKind,
    mut info: PluginInfo,
    found: Found,
    told: Told,
) -> Entry {
    let label = format!("{}/{}", kind.as_str(), info.name);
    let copied = match found.copy(&shared.store) {
        Ok(copied) => copied,
        Err(error) => return failed(info, PluginStatus::Failed, error.to_string()),
    };
    info.loaded_from = copied.loaded_from.display().to_string();
    if let Some(verdict) = shared.quarantine.verdict(&label, &copied.sha256) {
        info.quarantined_since = verdict.since;
        return failed(info, PluginStatus::Quarantined, verdict.why);
    }
    let sha256 = copied.sha256.clone();
    // Constructors and `init` are foreign code, too.
    let entered = shared.mark.enter(&mark(&label, &sha256, "open - -"));
    let backend = backend(shared, kind, &label, &mut info, copied);
    drop(entered);
    let backend = match backend {
        Ok(backend) => backend,
        Err(error) if error.quarantined => {
            let verdict = shared.quarantine.verdict(&label, &sha256);
            info.quarantined_since = verdict.map_or(Timestamp::default(), |one| one.since);
            return failed(info, PluginStatus::Quarantined, error.why);
        }
        Err(error) => return failed(info, PluginStatus::Failed, error.why),
    };
    info.isolation = backend.isolation().to_owned();
    let plugin = Plugin {
        kind,
        name: info.name.clone(),
        sha256,
        backend,
        pool: Pool::new(&info.name, shared.config.threads, shared.config.queue),
        locks: Locks::default(),
        flights: Flights::default(),
        deadline: shared.config.deadline,
        mark: Arc::clone(&shared.mark),
        quarantine: Arc::clone(&shared.quarantine),
        late: shared.late.clone(),
        poisoned: OnceLock::new(),
        told,
    };
    Entry {
        info,
        plugin: Some(Arc::new(plugin)),
    }
}

fn backend(
    shared: &Shared,
    kind: PluginKind,
    label: &str,
    info: &mut PluginInfo,
    copied: Copied,
) -> Result<Backend, StartError> {
    let json = init(shared, kind, &info.name)?;
    let secrets = shared.config.secrets.join(label.replace('/', "-"));
    let isolate = &shared.config.isolate;
    if isolate.contains(label) || isolate.contains(&info.name) {
        let program = shared
            .config
            .runner
            .clone()
            .ok_or_else(|| "it wants a runner, and the configuration names none".to_owned())?;
        let (plugin, sha256, quarantine) = (
            label.to_owned(),
            copied.sha256.clone(),
            Arc::clone(&shared.quarantine),
        );
        let logged = label.to_owned();
        let runner = Runner::start(RunnerConfig {
            program,
            library: copied.loaded_from,
            init: json,
            secrets,
            open_timeout: shared.config.open_timeout,
            grace: shared.config.runner_grace,
            log: Box::new(move |operation, level, message| {
                services::log(&logged, operation, level, message)
            }),
            crashed: Box::new(move |call| {
                if let Err(error) = quarantine.add(&plugin, &sha256, call) {
                    tracing::error!(%error, plugin, "cannot record a crash");
                }
                quarantine
                    .verdict(&plugin, &sha256)
                    .map(|verdict| verdict.why)
            }),
        })?;
        info.version = runner.version().to_owned();
        info.capabilities = runner.capabilities().to_vec();
        return Ok(Backend::Runner(runner));
    }
    let library = copied.open().map_err(|error| error.to_string())?;
    let Library {
        version,
        capabilities,
        ..
    } = &library;
    (info.version, info.capabilities) = (version.clone(), capabilities.clone());
    let services = Arc::new(Services {
        plugin: label.to_owned(),
        secrets,
    });
    let timeout = u64::try_from(shared.config.open_timeout.as_millis()).unwrap_or(u64::MAX / 2);
    let call = Invocation {
        operation: "open",
        deadline_ms: monotonic_ms() + timeout,
        json: &json,
        ..Invocation::default()
    };
    let opened = library.open(services, call);
    opened
        .map(Backend::InProcess)
        .map_err(|reply: Reply| format!("{}: {}", reply.code.as_str(), reply.message).into())
}

/// The request that opens a driver; makes the folder it names.
fn init(shared: &Shared, kind: PluginKind, name: &str) -> Result<Vec<u8>, String> {
    let config = &shared.config;
    let root = config.root.join(format!("{}s", folder_of(kind))).join(name);
    make_folder(&root, 0o711)
        .map_err(|error| format!("make folder {}: {error}", root.display()))?;
    let settings = config
        .settings
        .get(&format!("{}/{name}", kind.as_str()))
        .cloned();
    let request = InitRequest {
        instance: InstanceInfo {
            name: config.instance.clone(),
            id: config.instance_id.clone(),
        },
        root: root
            .to_str()
            .ok_or("the root's path is not UTF-8")?
            .to_owned(),
        config: settings.unwrap_or_default(),
    };
    serde_json::to_vec(&request).map_err(|error| error.to_string())
}

fn folder_of(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Snapshotter => "snapshot",
        PluginKind::Network => "network",
        PluginKind::Volume => "volume",
    }
}
