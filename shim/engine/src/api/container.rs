//! Containers.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::container::{Container, ContainerSpec, Resources};
use gantry_model::image::Origin;
use gantry_model::policy::RestartSpec;
use gantry_model::supervisor::{AttachStreams, Attached, Exit, Target, WindowSize};
use gantry_model::{ContainerId, Error, ErrorKind, Result, SandboxId};

use crate::Engine;
use crate::inner::DRIVER_TIMEOUT;
use crate::owner::{Message, Wish};

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

/// How to remove a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveContainer {
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove its anonymous volumes.
    pub volumes: bool,
}

/// A change of a container's description. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateContainer {
    /// Limits: fields that are 0, empty or `None` stay as they are.
    pub resources: Option<Resources>,
    /// Restart policy.
    pub restart: Option<RestartSpec>,
    /// What the door keeps.
    pub door_data: Option<String>,
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
    /// Makes a container and answers its id.
    ///
    /// # Errors
    /// `NotFound` (image: text `No such image: …`, network, pod), `Conflict` (name), `InvalidArgument`.
    pub async fn create_container(&self, request: CreateContainer) -> Result<ContainerId> {
        let inner = std::sync::Arc::clone(&self.inner);
        // In a task of its own: a caller that goes away leaves nothing half done.
        crate::run_to_end(async move { crate::effect::create::run(&inner, request).await }).await
    }

    /// All containers of a door, or of both; oldest first.
    pub fn containers(&self, origin: Option<Origin>) -> Vec<Arc<Container>> {
        let tables = self.inner.ledger.read();
        let all = tables
            .containers
            .values()
            .map(|sender| Arc::clone(&sender.borrow().container));
        let mut found: Vec<_> = all
            .filter(|c| origin.is_none_or(|origin| origin == c.origin))
            .collect();
        found.sort_by_key(|container| container.created_at);
        found
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
        let tables = self.inner.ledger.read();
        let get = |id: &ContainerId| {
            tables
                .containers
                .get(id)
                .map(|sender| Arc::clone(&sender.borrow().container))
        };
        let mine = |c: &Arc<Container>| origin.is_none_or(|origin| origin == c.origin);
        let name = reference.strip_prefix('/').unwrap_or(reference);
        let missing = || Error::not_found(format!("No such container: {reference}"));
        if let Some(found) = ContainerId::parse(reference)
            .ok()
            .and_then(|id| get(&id))
            .filter(mine)
        {
            return Ok(found);
        }
        for door in [Origin::Docker, Origin::Cri] {
            let id = tables.names.get(&(door, name.to_owned()));
            if let Some(found) = id.and_then(get).filter(mine) {
                return Ok(found);
            }
        }
        if name.is_empty() {
            return Err(missing());
        }
        let mut matching = tables
            .containers
            .keys()
            .filter(|id| id.as_str().starts_with(name))
            .filter_map(get)
            .filter(mine);
        match (matching.next(), matching.next()) {
            (Some(found), None) => Ok(found),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "Multiple IDs found with provided prefix: {reference}"
            ))),
            _ => Err(missing()),
        }
    }

    /// Starts a run.
    ///
    /// # Errors
    /// `NotModified` when it runs already; `CommandNotFound`, `CommandNotExecutable`, `Conflict` (port taken)….
    pub async fn start_container(&self, id: &ContainerId) -> Result<()> {
        self.inner.ask(id, Wish::Start).await
    }

    /// Stops the run: stop signal, then SIGKILL after `timeout` (`None`: the container's own; negative values of the
    /// protocols mean a very long one). Returns when it has ended and its resources are free.
    ///
    /// # Errors
    /// `NotModified` when it does not run.
    pub async fn stop_container(&self, id: &ContainerId, timeout: Option<Duration>) -> Result<()> {
        self.inner.ask(id, Wish::Stop { timeout }).await
    }

    /// Stops it if it runs and starts it: one operation, so that nothing follows the end of the run in between (`--rm`
    /// does not remove it, no policy restarts it).
    ///
    /// # Errors
    /// As [`Engine::stop_container`] and [`Engine::start_container`].
    pub async fn restart_container(
        &self,
        id: &ContainerId,
        timeout: Option<Duration>,
    ) -> Result<()> {
        let (stopped, has_stopped) = tokio::sync::oneshot::channel();
        let (started, has_started) = tokio::sync::oneshot::channel();
        let letter = Message::Restart {
            id: id.clone(),
            timeout,
            stopped,
            started,
        };
        let _ = self.inner.owner_of(id)?.send(letter);
        let gone = || Error::cancelled(format!("container {id} was removed meanwhile"));
        match has_stopped.await.map_err(|_| gone())? {
            Err(error) if error.kind != ErrorKind::NotModified => return Err(error),
            _ => {}
        }
        has_started.await.map_err(|_| gone())??;
        let container = self.inner.container(id)?;
        let change = self
            .inner
            .change()
            .container_event("restart", &container, &[]);
        self.inner.tell(change).await;
        Ok(())
    }

    /// Gives it another name (without a slash). `door_data` replaces what the door keeps.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `Conflict` while it is being removed.
    pub async fn rename_container(
        &self,
        id: &ContainerId,
        name: &str,
        door_data: Option<String>,
    ) -> Result<()> {
        let (inner, id, name) = (Arc::clone(&self.inner), id.clone(), name.to_owned());
        crate::run_to_end(async move {
            crate::effect::update::rename(&inner, &id, name, door_data).await
        })
        .await
    }

    /// Changes limits and restart policy, of a running container at once.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` naming the limit, `Conflict` while it is being removed; what the kernel refuses
    /// leaves everything as it was.
    pub async fn update_container(&self, id: &ContainerId, update: UpdateContainer) -> Result<()> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        crate::run_to_end(async move { crate::effect::update::run(&inner, &id, update).await })
            .await
    }

    /// Process ids on the host of all that run in it, execs included.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn processes(&self, id: &ContainerId) -> Result<Vec<i32>> {
        let handle = self.inner.supervisor_of(id).await?;
        handle.processes(&self.inner.call(DRIVER_TIMEOUT), id).await
    }

    /// Sends a signal: `SIGTERM`, `TERM`, `15`; empty: SIGKILL.
    ///
    /// # Errors
    /// `Conflict` when it does not run, `InvalidArgument` for an unknown signal.
    pub async fn kill_container(&self, id: &ContainerId, signal: &str) -> Result<()> {
        let number = if signal.is_empty() {
            crate::signal::SIGKILL
        } else {
            crate::signal::parse(signal)?
        };
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        crate::run_to_end(async move { crate::effect::stop::kill(&inner, &id, number).await }).await
    }

    /// Freezes or thaws.
    ///
    /// # Errors
    /// `Conflict` when it does not run or is as asked already.
    pub async fn pause_container(&self, id: &ContainerId, paused: bool) -> Result<()> {
        self.inner.ask(id, Wish::Pause(paused)).await
    }

    /// Removes it. Everything it used is free when this returns.
    ///
    /// # Errors
    /// `Conflict` when it runs and `force` is not given.
    pub async fn remove_container(&self, id: &ContainerId, how: RemoveContainer) -> Result<()> {
        self.inner.ask(id, Wish::Remove(how)).await
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
        let seen = self.inner.watch(id)?;
        Ok(crate::wait::until(seen, condition))
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
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.inner.tell_container(id, "attach", &[]);
        let _ = self.inner.owner_of(id)?.send(Message::Attach {
            id: id.clone(),
            streams,
            reply,
        });
        answer
            .await
            .map_err(|_| Error::cancelled(format!("container {id} was removed before it ran")))?
    }

    /// Sets the terminal's size.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn resize_container(&self, id: &ContainerId, size: WindowSize) -> Result<()> {
        let handle = self.inner.supervisor_of(id).await?;
        handle
            .resize(
                &self.inner.call(DRIVER_TIMEOUT),
                &Target::Container(id.clone()),
                size,
            )
            .await?;
        let (height, width) = (size.rows.to_string(), size.columns.to_string());
        self.inner
            .tell_container(id, "resize", &[("height", height), ("width", width)]);
        Ok(())
    }

    /// Opens the log anew after somebody rotated it; the file exists when this returns.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn reopen_log(&self, id: &ContainerId) -> Result<()> {
        let handle = self.inner.supervisor_of(id).await?;
        handle
            .reopen_log(&self.inner.call(DRIVER_TIMEOUT), id)
            .await
    }
}
