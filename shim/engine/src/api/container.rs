//! Containers.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::container::{Container, ContainerSpec};
use gantry_model::image::Origin;
use gantry_model::supervisor::{AttachStreams, Attached, Exit, Stats, WindowSize};
use gantry_model::{ContainerId, Error, Result, SandboxId};

use crate::Engine;

/// A request to make a container.
#[derive(Clone, Debug)]
pub struct CreateContainer {
    /// Door.
    pub origin: Origin,
    /// Name without a slash; empty: one is made up.
    pub name: String,
    /// What it should be.
    pub spec: ContainerSpec,
    /// CRI: the pod it goes into.
    pub pod: Option<SandboxId>,
    /// CRI: metadata name and attempt; a retry with the same ones and the same spec answers the same container.
    pub cri: Option<(String, u32)>,
    /// Kept for the door, given back in [`Container::door_data`].
    pub door_data: String,
}

/// A container that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// For the user.
    pub warnings: Vec<String>,
}

/// How to remove a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveContainer {
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove its anonymous volumes.
    pub volumes: bool,
}

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitCondition {
    /// Until it does not run; at once if it does not.
    NotRunning,
    /// Until the current or next run ends.
    NextExit,
    /// Until it is removed.
    Removed,
}

/// What a waiter is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Exit of the last run; `None` if it never ran.
    pub exit: Option<Exit>,
    /// Why it could not be started, if so.
    pub error: String,
}

impl Engine {
    /// Makes a container.
    ///
    /// # Errors
    /// `NotFound` (image: text `No such image: …`, network, pod), `Conflict` (name), `InvalidArgument`.
    pub async fn create_container(&self, request: CreateContainer) -> Result<Created> {
        let _ = request;
        Err(Error::unimplemented("create container"))
    }

    /// All containers of a door, or of both; oldest first.
    pub fn containers(&self, origin: Option<Origin>) -> Vec<Arc<Container>> {
        let _ = origin;
        Vec::new()
    }

    /// By id, name (with or without a leading slash) or unambiguous id prefix.
    ///
    /// # Errors
    /// `NotFound` (`No such container: …`), `InvalidArgument` for a prefix of several.
    pub fn find_container(
        &self,
        origin: Option<Origin>,
        reference: &str,
    ) -> Result<Arc<Container>> {
        let _ = origin;
        Err(Error::not_found(format!("No such container: {reference}")))
    }

    /// Starts a run.
    ///
    /// # Errors
    /// `NotModified` when it runs already; `CommandNotFound`, `CommandNotExecutable`, `Conflict` (port taken)….
    pub async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let _ = id;
        Err(Error::unimplemented("start container"))
    }

    /// Stops the run: stop signal, then SIGKILL after `timeout` (`None`: the container's own; negative values of the
    /// protocols mean a very long one). Returns when it has ended and its resources are free.
    ///
    /// # Errors
    /// `NotModified` when it does not run.
    pub async fn stop_container(&self, id: &ContainerId, timeout: Option<Duration>) -> Result<()> {
        let _ = (id, timeout);
        Err(Error::unimplemented("stop container"))
    }

    /// Sends a signal: `SIGTERM`, `TERM`, `15`; empty: SIGKILL.
    ///
    /// # Errors
    /// `Conflict` when it does not run, `InvalidArgument` for an unknown signal.
    pub async fn kill_container(&self, id: &ContainerId, signal: &str) -> Result<()> {
        let _ = (id, signal);
        Err(Error::unimplemented("kill container"))
    }

    /// Freezes or thaws.
    ///
    /// # Errors
    /// `Conflict` when it does not run or is as asked already.
    pub async fn pause_container(&self, id: &ContainerId, paused: bool) -> Result<()> {
        let _ = (id, paused);
        Err(Error::unimplemented("pause container"))
    }

    /// Removes it. Everything it used is free when this returns.
    ///
    /// # Errors
    /// `Conflict` when it runs and `force` is not given.
    pub async fn remove_container(&self, id: &ContainerId, how: RemoveContainer) -> Result<()> {
        let _ = (id, how);
        Err(Error::unimplemented("remove container"))
    }

    /// Registers a waiter now; the future it answers ends when the condition holds. Cancel safe: dropping it only
    /// takes the waiter away.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn wait_container(
        &self,
        id: &ContainerId,
        condition: WaitCondition,
    ) -> Result<impl Future<Output = Waited> + Send + 'static> {
        let _ = condition;
        if true {
            return Err(Error::not_found(format!("No such container: {id}")));
        }
        Ok(std::future::pending())
    }

    /// Attaches. When it does not run, the attachment belongs to the next run, misses nothing of it, and this returns
    /// when that run is made (before it is let go).
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while it is being removed, `Cancelled` when the next run could not be made.
    pub async fn attach_container(
        &self,
        id: &ContainerId,
        streams: AttachStreams,
    ) -> Result<Attached> {
        let _ = (id, streams);
        Err(Error::unimplemented("attach"))
    }

    /// Sets the terminal's size.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn resize_container(&self, id: &ContainerId, size: WindowSize) -> Result<()> {
        let _ = (id, size);
        Err(Error::unimplemented("resize"))
    }

    /// Opens the log anew after somebody rotated it; the file exists when this returns.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn reopen_log(&self, id: &ContainerId) -> Result<()> {
        let _ = id;
        Err(Error::unimplemented("reopen log"))
    }

    /// Reads its cgroup's figures.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn container_stats(&self, id: &ContainerId) -> Result<Stats> {
        let _ = id;
        Err(Error::unimplemented("stats"))
    }
}
