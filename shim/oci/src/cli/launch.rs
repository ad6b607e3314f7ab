//! From a bundle to a running process, and `run`, which waits for it.

use super::args::Args;
use super::log::{self, Log};
use super::state::{State, Store, remove_group};
use super::{Outcome, terminal};
use crate::error::{FailureKind, LaunchError, Result};
use crate::hooks::{self, Stage};
use crate::launch::{Join, Launch, Placement, Rootfs, Stdio};
use crate::pending::{Pending, Progress, Ready};
use gantry_sys::cgroup::{Group, Hierarchies};
use gantry_sys::{boot, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::{Process, Spec};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A bundle read and checked.
pub(super) struct Bundle {
    dir: PathBuf,
    pub(super) spec: Spec,
    /// The configuration as it was read: what comes later is decided by it and by no newer one.
    text: Vec<u8>,
    rootfs: PathBuf,
    hierarchies: Hierarchies,
    pub(super) group: Group,
}

/// Reads a configuration.
pub(super) fn read_spec(path: &Path) -> Result<(Spec, Vec<u8>)> {
    let bad = |e: &dyn std::fmt::Display| LaunchError::spec(format!("{}: {e}", path.display()));
    let text = std::fs::read(path).map_err(|e| bad(&e))?;
    let mut spec: Spec = serde_json::from_slice(&text).map_err(|e| bad(&e))?;
    // In a bundle the user is a number; names belong to callers of the library.
    if let Some(process) = spec.process_mut() {
        process.user_mut().set_username(None);
    }
    Ok((spec, text))
}

impl Bundle {
    pub(super) fn open(dir: &Path, id: &str) -> Result<Self> {
        let dir = std::fs::canonicalize(dir);
        let dir = dir.map_err(|e| LaunchError::spec(format!("bundle: {e}")))?;
        let (spec, text) = read_spec(&dir.join("config.json"))?;
        check_version(spec.version())?;
        let root = spec.root().as_ref();
        let root = root.ok_or_else(|| LaunchError::spec("the configuration has no root"))?;
        let hierarchies = Hierarchies::detect()?;
        let named = spec
            .linux()
            .as_ref()
            .and_then(|l| l.cgroups_path().as_ref());
        let path = named.map_or_else(
            || format!("gantry-oci-{id}"),
            |p| p.to_string_lossy().into_owned(),
        );
        let extra = crate::limits(&spec)?.extra_controllers();
        let group = Group::at(&hierarchies, &path, &extra)?;
        Ok(Self {
            rootfs: dir.join(root.path()),
            dir,
            spec,
            text,
            hierarchies,
            group,
        })
    }

    /// Whether its process has a terminal.
    pub(super) fn terminal(&self) -> bool {
        let process = self.spec.process().as_ref();
        process.is_some_and(|p| p.terminal() == Some(true))
    }

    /// Clones the first process; its streams are the caller's.
    pub(super) fn create(&self, id: &str) -> Result<Pending> {
        crate::create(&Launch {
            id,
            spec: &self.spec,
            bundle: &self.dir,
            rootfs: Rootfs::Dir(&self.rootfs),
            stdio: stdio(self.spec.process().as_ref()),
            join: Join::default(),
            cgroup: Placement {
                hierarchies: &self.hierarchies,
                group: Some(&self.group),
                external: false,
            },
        })
    }

    /// Records the container, once it is there.
    pub(super) fn record(&self, store: &Store, pid: i32) -> Result<()> {
        store.keep_config(&self.text)?;
        let annotations = self.spec.annotations().iter().flatten();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        store.save(&State {
            id: store.id.clone(),
            bundle: self.dir.clone(),
            pid,
            started: boot::start_time(pid)?,
            cgroup: self.group.path().into(),
            annotations: annotations.map(|(k, v)| (k.clone(), v.clone())).collect(),
            created: log::time(now.map_or(0, |d| d.as_secs())),
        })
    }

    /// Takes back a container that could not be made, as far as it got: its hooks are told that it has gone.
    pub(super) fn undo(&self, store: &Store, log: &Log) {
        let _ = remove_group(&self.group);
        let mut state = store.bare_state("stopped");
        state.bundle.clone_from(&self.dir);
        store.forget();
        hooks::run_all(self.spec.hooks().as_ref(), Stage::Poststop, &state, |e| {
            log.warn(&e.message);
        });
    }
}

/// Versions before 1.0 meant other things by the same words.
fn check_version(version: &str) -> Result<()> {
    let mut parts = version.split('.');
    let major = parts.next().unwrap_or_default();
    let numbers = [parts.next(), parts.next()].iter().all(Option::is_some);
    if major == "1" && numbers {
        return Ok(());
    }
    Err(LaunchError::spec(format!(
        "ociVersion {version:?} is not of the 1.x.y this runtime knows"
    )))
}

/// Streams of a process: the caller's, or a terminal.
pub(super) fn stdio(process: Option<&Process>) -> Stdio<'static> {
    match process.filter(|p| p.terminal() == Some(true)) {
        None => Stdio::Inherit,
        Some(process) => {
            let size = process.console_size();
            let part = |n: Option<u64>| n.and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
            Stdio::Terminal {
                rows: part(size.as_ref().map(oci_spec::runtime::Box::height)),
                cols: part(size.as_ref().map(oci_spec::runtime::Box::width)),
            }
        }
    }
}

/// Waits until the child says something new.
pub(super) fn advance(pending: &mut Pending) -> Result<Progress> {
    loop {
        match pending.poll()? {
            Progress::Waiting => {
                let mut fds = [PollFd::new(pending.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut fds, PollTimeout::NONE);
            }
            other => return Ok(other),
        }
    }
}

/// Waits until the child is ready, and tells what it could not be given.
pub(super) fn until_ready(pending: &mut Pending, log: &Log) -> Result<Ready> {
    match advance(pending)? {
        Progress::Ready(ready) => {
            ready.warnings.iter().for_each(|w| log.warn(w));
            Ok(ready)
        }
        _ => Err(LaunchError::new(
            FailureKind::System,
            "container child spoke out of turn",
        )),
    }
}

/// Creates, starts, waits, and takes everything away again.
pub(super) fn run(store: &Store, args: &Args, log: &Log) -> Outcome {
    let dir = args.path("bundle").unwrap_or_else(|| ".".into());
    let bundle = Bundle::open(&dir, &store.id)?;
    if args.has("console-socket") {
        return Err(LaunchError::spec(
            "--console-socket is for containers that are detached",
        ));
    }
    store.claim()?;
    let signals = terminal::Signals::block()?;
    let code = started(store, &bundle, args, log, &signals);
    if args.has("keep") && code.is_ok() {
        return code;
    }
    bundle.undo(store, log);
    code
}

fn started(
    store: &Store,
    bundle: &Bundle,
    args: &Args,
    log: &Log,
    signals: &terminal::Signals,
) -> Outcome {
    let mut pending = bundle.create(&store.id)?;
    let mut run = || -> Result<Option<OwnedFd>> {
        let ready = until_ready(&mut pending, log)?;
        bundle.record(store, pending.pid)?;
        write_pid(args, pending.pid)?;
        pending.go()?;
        // The root goes with the container: this runner has nothing left to do when it ends.
        drop(ready.rootfs);
        advance(&mut pending)?;
        Ok(ready.console)
    };
    let console = run().inspect_err(|_| {
        let _ = process::pidfd_send_signal(&pending.pidfd, libc::SIGKILL);
        let _ = process::wait(&pending.pidfd);
    })?;
    poststart(store, bundle.spec.hooks().as_ref(), log);
    terminal::attend(&pending.pidfd, console, signals)?;
    Ok(process::wait(&pending.pidfd)?.code())
}

/// Their failures are told and passed over (runtime, "Lifecycle").
pub(super) fn poststart(store: &Store, list: Option<&oci_spec::runtime::Hooks>, log: &Log) {
    if hooks::of(list, Stage::Poststart).is_empty() {
        return;
    }
    if let Ok(loaded) = store.load() {
        let state = loaded.state.told("running");
        hooks::run_all(list, Stage::Poststart, &state, |e| log.warn(&e.message));
    }
}

pub(super) fn write_pid(args: &Args, pid: i32) -> Result<()> {
    let Some(file) = args.path("pid-file") else {
        return Ok(());
    };
    std::fs::write(&file, pid.to_string())
        .map_err(|e| gantry_sys::Error::from_io(format!("write {}", file.display()), &e).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_specification() {
        for good in ["1.0.0", "1.0.2-dev", "1.2.0", "1.3.0"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "0.6.0", "2.0.0", "invalid"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }
}
