//! What every part of the engine shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_model::call::{Call, Cancel};
use gantry_model::container::Container;
use gantry_model::driver::Drivers;
use gantry_model::image::{ImageService, Origin};
use gantry_model::operation::Operation;
use gantry_model::sandbox::Sandbox;
use gantry_model::supervisor::SupervisorService;
use gantry_model::{ContainerId, Error, OperationId, Result, SandboxId, Timestamp};
use tokio::sync::{Notify, mpsc, watch};

use crate::change::{Change, Item};
use crate::exec::ExecTable;
use crate::ledger::{Ledger, Seen};
use crate::owner::{Key, Message};
use crate::{EngineConfig, Host};

/// How long a driver may take before the outcome of its call counts as unknown.
pub(crate) const DRIVER_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) ledger: Ledger,
    pub(crate) drivers: Arc<dyn Drivers>,
    pub(crate) images: Arc<dyn ImageService>,
    pub(crate) supervisors: Arc<dyn SupervisorService>,
    pub(crate) host: Arc<dyn Host>,
    /// What is left alone.
    pub(crate) unreadable: crate::ledger::Unreadable,
    /// What is being worked on.
    pub(crate) work: crate::work::Work,
    pub(crate) owners: Mutex<HashMap<Key, mpsc::UnboundedSender<Message>>>,
    pub(crate) execs: Mutex<ExecTable>,
    /// Who was given which volume.
    pub(crate) holds: crate::effect::volume::Holds,
    pub(crate) health: crate::health::Monitors,
    pub(crate) sampler: crate::sampler::Sampler,
    /// Names being given away: taken in memory before they are in a record.
    pub(crate) reserved: Mutex<HashMap<String, Arc<Notify>>>,
    /// Collections wait for nobody and let nobody wait: they run when no user of content is at work.
    pub(crate) gate: Arc<tokio::sync::RwLock<()>>,
    pub(crate) collect_wanted: std::sync::atomic::AtomicBool,
}

impl Inner {
    pub(crate) fn now(&self) -> Timestamp {
        self.host.now()
    }

    pub(crate) fn change(&self) -> Change {
        Change::at(self.now())
    }

    /// A call outside of a recorded operation.
    pub(crate) fn call(&self, timeout: Duration) -> Call {
        Call {
            operation: OperationId::from_random(self.host.random()),
            timeout,
            cancel: Cancel::default(),
        }
    }

    /// # Errors
    /// `NotFound`.
    pub(crate) fn watch(&self, id: &ContainerId) -> Result<watch::Receiver<Seen>> {
        let tables = self.ledger.read();
        tables
            .containers
            .get(id)
            .map(watch::Sender::subscribe)
            .ok_or_else(|| Error::not_found(format!("No such container: {id}")))
    }

    /// # Errors
    /// `NotFound`.
    pub(crate) fn container(&self, id: &ContainerId) -> Result<Arc<Container>> {
        Ok(Arc::clone(&self.watch(id)?.borrow().container))
    }

    /// # Errors
    /// `NotFound`.
    pub(crate) fn sandbox(&self, id: &SandboxId) -> Result<Arc<Sandbox>> {
        let tables = self.ledger.read();
        tables
            .sandboxes
            .get(id)
            .cloned()
            .ok_or_else(|| Error::not_found(format!("no such pod sandbox: {id}")))
    }

    /// Containers of a pod, oldest first.
    pub(crate) fn containers_of(&self, pod: &SandboxId) -> Vec<Arc<Container>> {
        let tables = self.ledger.read();
        let mut found: Vec<_> = tables
            .containers
            .values()
            .map(|sender| Arc::clone(&sender.borrow().container))
            .filter(|container| container.pod.as_ref() == Some(pod))
            .collect();
        found.sort_by_key(|container| container.created_at);
        found
    }

    /// Takes a name that nobody may take meanwhile.
    pub(crate) fn reserve(self: &Arc<Self>, key: String) -> Option<Reservation> {
        let mut reserved = lock(&self.reserved);
        if reserved.contains_key(&key) {
            return None;
        }
        reserved.insert(key.clone(), Arc::default());
        Some(Reservation {
            inner: Arc::clone(self),
            key,
        })
    }

    /// Takes a name as soon as whoever has it is done: the way in for requests whose retries join.
    pub(crate) async fn reserve_in_turn(self: &Arc<Self>, key: &str) -> Reservation {
        loop {
            let holder = lock(&self.reserved).get(key).cloned();
            match holder {
                None => {
                    if let Some(reservation) = self.reserve(key.to_owned()) {
                        return reservation;
                    }
                }
                Some(holder) => {
                    let mut done = std::pin::pin!(holder.notified());
                    // Registered before the second look, so that no end goes unheard.
                    done.as_mut().enable();
                    if lock(&self.reserved)
                        .get(key)
                        .is_some_and(|now| Arc::ptr_eq(now, &holder))
                    {
                        done.await;
                    }
                }
            }
        }
    }

    /// Path of a container's own folder.
    pub(crate) fn container_dir(&self, id: &str) -> String {
        self.config
            .root
            .join("containers")
            .join(id)
            .to_string_lossy()
            .into_owned()
    }

    /// Tells an event that changes no state. One that cannot be written is told all the same and logged here.
    pub(crate) async fn tell(&self, change: Change) {
        if let Err(error) = self.ledger.tell(change).await {
            tracing::warn!(%error, "writing an event");
        }
    }

    /// Ends an operation whose object needs no other change.
    pub(crate) async fn end(&self, operation: &Operation) -> Result<()> {
        self.ledger
            .write(self.change().with(Item::NoOperation(operation.id.clone())))
            .await
    }

    /// The container that has this name at this door.
    pub(crate) fn named(&self, origin: Origin, name: &str) -> Option<ContainerId> {
        self.ledger
            .read()
            .names
            .get(&(origin, name.to_owned()))
            .cloned()
    }
}

/// Holds a name until it is dropped.
pub(crate) struct Reservation {
    inner: Arc<Inner>,
    key: String,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.inner.reserved).remove(&self.key) {
            waiting.notify_waiters();
        }
    }
}

/// A lock whose holder panicked still guards whole values: every holder changes them in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
