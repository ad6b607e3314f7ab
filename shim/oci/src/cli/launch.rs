//! From a bundle to a running process, and `run`, which waits for it.

use super::state::{State, Store, remove_group};
use crate::error::{FailureKind, LaunchError, Result};
use crate::launch::{Join, Launch, Placement, Rootfs, Stdio};
use crate::pending::{Pending, Progress};
use gantry_sys::cgroup::{Group, Hierarchies};
use gantry_sys::{boot, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::Spec;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A bundle read and checked.
pub(super) struct Bundle {
    pub(super) dir: PathBuf,
    pub(super) spec: Spec,
    rootfs: PathBuf,
    hierarchies: Hierarchies,
    pub(super) group: Group,
}

impl Bundle {
    pub(super) fn open(dir: &Path, id: &str) -> Result<Self> {
        let dir = std::fs::canonicalize(dir);
        let dir = dir.map_err(|e| LaunchError::spec(format!("bundle: {e}")))?;
        let path = dir.join("config.json");
        let text = std::fs::read(&path)
            .map_err(|e| LaunchError::spec(format!("{}: {e}", path.display())))?;
        let mut spec: Spec = serde_json::from_slice(&text)
            .map_err(|e| LaunchError::spec(format!("{}: {e}", path.display())))?;
        if spec
            .process()
            .as_ref()
            .is_some_and(|p| p.terminal() == Some(true))
        {
            return Err(LaunchError::unsupported("terminals from the command line"));
        }
        // In a bundle the user is a number; names belong to callers of the library.
        if let Some(process) = spec.process_mut() {
            process.user_mut().set_username(None);
        }
        let root = spec
            .root()
            .as_ref()
            .map_or_else(|| PathBuf::from("rootfs"), |r| r.path().clone());
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
            rootfs: dir.join(root),
            dir,
            spec,
            hierarchies,
            group,
        })
    }

    /// Clones the first process; its streams are the caller's.
    pub(super) fn create(&self, id: &str) -> Result<Pending> {
        crate::create(&Launch {
            id,
            spec: &self.spec,
            rootfs: Rootfs::Dir(&self.rootfs),
            stdio: Stdio::Inherit,
            join: Join::default(),
            cgroup: Placement {
                hierarchies: &self.hierarchies,
                group: Some(&self.group),
                external: false,
            },
        })
    }

    pub(super) fn state(&self, id: &str, pid: i32) -> Result<State> {
        let annotations = self
            .spec
            .annotations()
            .iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()));
        Ok(State {
            id: id.into(),
            bundle: self.dir.clone(),
            pid,
            started: boot::start_time(pid)?,
            cgroup: self.group.path().into(),
            annotations: annotations.collect(),
        })
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

/// Creates, starts, waits, and takes everything away again.
pub(super) fn run(store: &Store, dir: &Path, pid_file: Option<&Path>) -> Result<i32> {
    let bundle = Bundle::open(dir, &store.id)?;
    store.claim()?;
    let code = started(store, &bundle, pid_file);
    let removed = remove_group(&bundle.group);
    store.forget();
    let code = code?;
    removed.map(|()| code)
}

fn started(store: &Store, bundle: &Bundle, pid_file: Option<&Path>) -> Result<i32> {
    let mut pending = bundle.create(&store.id)?;
    let mut run = || -> Result<()> {
        let root = match advance(&mut pending)? {
            Progress::Ready(ready) => ready.rootfs,
            _ => {
                return Err(LaunchError::new(
                    FailureKind::System,
                    "container child spoke out of turn",
                ));
            }
        };
        store.save(&bundle.state(&store.id, pending.pid)?)?;
        write_pid(pid_file, pending.pid)?;
        pending.go()?;
        // The root goes with the container: this runner has nothing left to do when it ends.
        drop(root);
        advance(&mut pending).map(|_| ())
    };
    let started = run();
    if started.is_err() {
        let _ = process::pidfd_send_signal(&pending.pidfd, libc::SIGKILL);
    }
    let exit = process::wait(&pending.pidfd)?;
    started.map(|()| exit.code())
}

pub(super) fn write_pid(file: Option<&Path>, pid: i32) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, pid.to_string())
        .map_err(|e| gantry_sys::Error::from_io(format!("write {}", file.display()), &e).into())
}
