//! The records: in the store for good, in memory for readers. A change is durable before anybody sees it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use gantry_model::container::Container;
use gantry_model::event::Event;
use gantry_model::image::{ImageName, Origin};
use gantry_model::network::{Endpoint, Network};
use gantry_model::operation::Operation;
use gantry_model::sandbox::Sandbox;
use gantry_model::volume::Volume;
use gantry_model::{ContainerId, EndpointId, NetworkId, OperationId, Result, SandboxId};
use gantry_store::{Batch, Store, Table};
use tokio::sync::{OwnedMutexGuard, watch};

use crate::change::{Change, Item};
use crate::events::Events;
use crate::inner::lock;

/// A container as its watchers see it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) container: Arc<Container>,
    /// What its last run held is free again.
    pub(crate) settled: bool,
    /// It is gone.
    pub(crate) removed: bool,
}

/// All records in memory.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) containers: BTreeMap<ContainerId, watch::Sender<Seen>>,
    pub(crate) names: BTreeMap<(Origin, String), ContainerId>,
    pub(crate) sandboxes: BTreeMap<SandboxId, Arc<Sandbox>>,
    pub(crate) networks: BTreeMap<NetworkId, Arc<Network>>,
    pub(crate) endpoints: BTreeMap<EndpointId, Arc<Endpoint>>,
    pub(crate) volumes: BTreeMap<String, Arc<Volume>>,
    pub(crate) image_names: BTreeMap<String, Arc<ImageName>>,
    pub(crate) operations: BTreeMap<OperationId, Operation>,
}

/// Events that wait for their numbers to be promised on disk.
pub(crate) type Untold = (Batch, crate::events::Numbered);

pub(crate) struct Ledger {
    store: Store,
    tables: RwLock<Tables>,
    /// One change of a container's record at a time: from reading the newest one until what follows from it is shown.
    locks: Mutex<HashMap<ContainerId, Arc<tokio::sync::Mutex<()>>>>,
    pub(crate) events: Events,
}

/// What was read at the start.
pub(crate) struct Loaded {
    pub(crate) ledger: Ledger,
    /// Records that could not be read, in words; they stay in the store.
    pub(crate) damaged: Vec<String>,
    /// What was known of containers' health.
    pub(crate) health: Vec<(ContainerId, crate::health::Record)>,
    /// Whose they are.
    pub(crate) unreadable: Unreadable,
}

/// Objects whose records this version cannot read: damaged, or written by a newer one. Whatever exists for them is left
/// alone, for the version that can.
#[derive(Default)]
pub(crate) struct Unreadable {
    pub(crate) containers: BTreeSet<ContainerId>,
    pub(crate) sandboxes: BTreeSet<SandboxId>,
    /// Any record of these or another table.
    pub(crate) any: bool,
}

impl Unreadable {
    fn among(damaged: &[String]) -> Self {
        let of = |table: Table| {
            let prefix = format!("{table:?} ");
            let ids = damaged
                .iter()
                .filter_map(move |text| text.strip_prefix(&prefix)?.split(':').next());
            ids.map(str::to_owned).collect::<Vec<_>>()
        };
        let containers = of(Table::Containers);
        let sandboxes = of(Table::Sandboxes);
        Self {
            containers: containers
                .iter()
                .filter_map(|id| ContainerId::parse(id).ok())
                .collect(),
            sandboxes: sandboxes
                .iter()
                .filter_map(|id| SandboxId::parse(id).ok())
                .collect(),
            any: damaged.iter().any(|text| !fleeting(text)),
        }
    }

    /// Whether the sandbox, or the container it is for, is one of them.
    pub(crate) fn concerns(&self, sandbox: &Sandbox) -> bool {
        let container = sandbox.container.as_ref();
        self.sandboxes.contains(&sandbox.id)
            || container.is_some_and(|id| self.containers.contains(id))
    }
}

impl Ledger {
    /// Reads everything. Damaged records are answered beside it; they stay in the store.
    pub(crate) fn load(store: Store) -> Result<Loaded> {
        let mut damaged = Vec::new();
        let mut tables = Tables::default();
        for container in rows::<Container>(&store, Table::Containers, &mut damaged)? {
            tables.names.insert(
                (container.origin, container.name.clone()),
                container.id.clone(),
            );
            let id = container.id.clone();
            let seen = Seen {
                settled: !container.state.is_live(),
                container: Arc::new(container),
                removed: false,
            };
            tables.containers.insert(id, watch::channel(seen).0);
        }
        for sandbox in rows::<Sandbox>(&store, Table::Sandboxes, &mut damaged)? {
            tables
                .sandboxes
                .insert(sandbox.id.clone(), Arc::new(sandbox));
        }
        for network in rows::<Network>(&store, Table::Networks, &mut damaged)? {
            tables
                .networks
                .insert(network.id.clone(), Arc::new(network));
        }
        for endpoint in rows::<Endpoint>(&store, Table::Endpoints, &mut damaged)? {
            tables
                .endpoints
                .insert(endpoint.id.clone(), Arc::new(endpoint));
        }
        for volume in rows::<Volume>(&store, Table::Volumes, &mut damaged)? {
            tables.volumes.insert(volume.name.clone(), Arc::new(volume));
        }
        for name in rows::<ImageName>(&store, Table::ImageNames, &mut damaged)? {
            tables.image_names.insert(name.name.clone(), Arc::new(name));
        }
        for operation in rows::<Operation>(&store, Table::Operations, &mut damaged)? {
            tables.operations.insert(operation.id.clone(), operation);
        }
        let past = rows::<Event>(&store, Table::Events, &mut damaged)?;
        let health = healths(&store, &tables)?;
        let promised = note(&store, crate::events::PROMISE_KEY)?.unwrap_or(0);
        let unreadable = Unreadable::among(&damaged);
        let ledger = Self {
            store,
            tables: RwLock::new(tables),
            locks: Mutex::default(),
            events: Events::new(past, promised),
        };
        Ok(Loaded {
            ledger,
            damaged,
            health,
            unreadable,
        })
    }

    /// A record of the table that belongs to no other one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn note<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        note(&self.store, key)
    }

    /// For readers. Never held across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a change durably, then shows it.
    pub(crate) async fn write(&self, change: Change) -> Result<()> {
        let _held = self.hold(changed(&change.items)).await;
        let items = self.newest(change.items)?;
        let mut batch = Batch::new();
        for item in &items {
            stage(&mut batch, item)?;
        }
        let numbered = self.events.stage(&mut batch, change.events)?;
        gantry_fault::point("engine.ledger.before-commit")?;
        let result = self.store.commit(batch).await;
        gantry_fault::pass("engine.ledger.after-commit");
        if result.is_ok() {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            for item in items {
                self.forget_lock(&item);
                apply(&mut tables, item);
            }
        }
        numbered.settle(result.is_ok());
        result
    }

    /// Tells events that change no state: shown at once, on disk with the next write or within about a second.
    ///
    /// # Errors
    /// The store has ended, or cannot promise more numbers; the events are not told then.
    pub(crate) async fn tell(&self, change: Change) -> Result<()> {
        match self.tell_soon(change)? {
            Some(untold) => self.tell_untold(untold).await,
            None => Ok(()),
        }
    }

    /// As [`Ledger::tell`] without waiting. What is answered has its numbers and must go to [`Ledger::tell_untold`].
    ///
    /// # Errors
    /// As [`Ledger::tell`].
    pub(crate) fn tell_soon(&self, change: Change) -> Result<Option<Untold>> {
        let mut batch = Batch::new();
        let numbered = self.events.stage(&mut batch, change.events)?;
        if !numbered.may_be_shown() {
            return Ok(Some((batch, numbered)));
        }
        let result = self.store.commit_later(batch);
        numbered.settle(result.is_ok());
        result.map(|()| None)
    }

    /// Tells events whose numbers have to be on disk first.
    ///
    /// # Errors
    /// As [`Ledger::tell`].
    pub(crate) async fn tell_untold(&self, (batch, numbered): Untold) -> Result<()> {
        let result = self.store.commit(batch).await;
        numbered.settle(result.is_ok());
        result
    }

    /// Locks the records of containers, in the order of their ids.
    async fn hold(&self, ids: BTreeSet<ContainerId>) -> Vec<OwnedMutexGuard<()>> {
        let mut held = Vec::with_capacity(ids.len());
        for id in ids {
            let one = Arc::clone(lock(&self.locks).entry(id).or_default());
            held.push(one.lock_owned().await);
        }
        held
    }

    fn forget_lock(&self, item: &Item) {
        if let Item::NoContainer(id) = item {
            lock(&self.locks).remove(id);
        }
    }

    /// Puts together what an operation knows of a container and what others have changed meanwhile.
    ///
    /// # Errors
    /// `NotFound` when a container that is to be amended is gone.
    fn newest(&self, items: Vec<Item>) -> Result<Vec<Item>> {
        let tables = self.read();
        let mut merged: BTreeMap<ContainerId, Container> = BTreeMap::new();
        let mut others = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Container(mut record) => {
                    let before = merged.get(&record.id).cloned().or_else(|| {
                        let seen = tables.containers.get(&record.id)?.borrow();
                        Some((*seen.container).clone())
                    });
                    if let Some(before) = before {
                        record.name = before.name;
                        record.spec = before.spec;
                        record.door_data = before.door_data;
                        record.restart = before.restart;
                    }
                    merged.insert(record.id.clone(), *record);
                }
                Item::Amend(id, amendment) => {
                    let newest = merged.remove(&id).or_else(|| {
                        let seen = tables.containers.get(&id)?.borrow();
                        Some((*seen.container).clone())
                    });
                    let mut newest = newest.ok_or_else(|| {
                        gantry_model::Error::not_found(format!("No such container: {id}"))
                    })?;
                    amendment(&mut newest);
                    merged.insert(id, newest);
                }
                other => others.push(other),
            }
        }
        let containers = merged
            .into_values()
            .map(|record| Item::Container(Box::new(record)));
        Ok(containers.chain(others).collect())
    }

    /// Marks that a container's last run holds nothing any more (memory only).
    pub(crate) fn settle(&self, id: &ContainerId, settled: bool) {
        if let Some(sender) = self.read().containers.get(id) {
            sender.send_modify(|seen| seen.settled = settled);
        }
    }
}

/// Whether a damaged record is of a table that claims nothing.
fn fleeting(text: &str) -> bool {
    [Table::Events, Table::Operations]
        .iter()
        .any(|table| text.starts_with(&format!("{table:?} ")))
}

/// The containers whose records these items change.
fn changed(items: &[Item]) -> BTreeSet<ContainerId> {
    let id = |item: &Item| match item {
        Item::Container(record) => Some(record.id.clone()),
        Item::Amend(id, _) | Item::NoContainer(id) => Some(id.clone()),
        _ => None,
    };
    items.iter().filter_map(id).collect()
}

fn note<T: serde::de::DeserializeOwned>(store: &Store, key: &str) -> Result<Option<T>> {
    let rows = store.load::<serde_json::Value>(Table::Meta)?;
    let row = rows.into_iter().find(|(name, _)| name == key);
    Ok(row.and_then(|(_, row)| serde_json::from_value(row.ok()?).ok()))
}

fn rows<T: serde::de::DeserializeOwned>(
    store: &Store,
    table: Table,
    damaged: &mut Vec<String>,
) -> Result<Vec<T>> {
    let mut good = Vec::new();
    for (key, row) in store.load::<T>(table)? {
        match row {
            Ok(row) => good.push(row),
            Err(error) => damaged.push(format!("{table:?} {key}: {error}")),
        }
    }
    Ok(good)
}

fn stage(batch: &mut Batch, item: &Item) -> Result<()> {
    match item {
        Item::Container(record) => {
            batch.put(Table::Containers, record.id.as_str(), record.as_ref())
        }
        Item::Sandbox(record) => batch.put(Table::Sandboxes, record.id.as_str(), record.as_ref()),
        Item::Network(record) => batch.put(Table::Networks, record.id.as_str(), record),
        Item::Endpoint(record) => batch.put(Table::Endpoints, record.id.as_str(), record),
        Item::Volume(record) => batch.put(Table::Volumes, &record.name, record),
        Item::ImageName(record) => batch.put(Table::ImageNames, &record.name, record),
        Item::Operation(record) => batch.put(Table::Operations, record.id.as_str(), record),
        Item::Amend(id, _) => Err(gantry_model::Error::internal(format!(
            "the change of container {id} was not put together"
        ))),
        Item::Note(key, text) => batch.put(Table::Meta, key, text),
        Item::Health(id, record) => batch.put(Table::Meta, &health_key(id), record.as_ref()),
        Item::NoContainer(id) => {
            batch.delete(Table::Meta, &health_key(id));
            delete(batch, Table::Containers, id.as_str())
        }
        Item::NoSandbox(id) => delete(batch, Table::Sandboxes, id.as_str()),
        Item::NoNetwork(id) => delete(batch, Table::Networks, id.as_str()),
        Item::NoEndpoint(id) => delete(batch, Table::Endpoints, id.as_str()),
        Item::NoVolume(name) => delete(batch, Table::Volumes, name),
        Item::NoImageName(name) => delete(batch, Table::ImageNames, name),
        Item::NoOperation(id) => delete(batch, Table::Operations, id.as_str()),
    }
}

fn health_key(id: &ContainerId) -> String {
    format!("health/{id}")
}

/// Health of the containers that are there.
fn healths(store: &Store, tables: &Tables) -> Result<Vec<(ContainerId, crate::health::Record)>> {
    let rows = store.load::<crate::health::Record>(Table::Meta)?;
    let known = rows.into_iter().filter_map(|(key, row)| {
        let id = ContainerId::parse(key.strip_prefix("health/")?).ok()?;
        let known = tables.containers.contains_key(&id);
        known.then_some((id, row.ok()?))
    });
    Ok(known.collect())
}

fn delete(batch: &mut Batch, table: Table, key: &str) -> Result<()> {
    batch.delete(table, key);
    Ok(())
}

fn apply(tables: &mut Tables, item: Item) {
    match item {
        Item::Container(record) => show(tables, *record),
        Item::Sandbox(record) => drop(
            tables
                .sandboxes
                .insert(record.id.clone(), Arc::from(record)),
        ),
        Item::Network(record) => drop(tables.networks.insert(record.id.clone(), Arc::new(record))),
        Item::Endpoint(record) => {
            drop(tables.endpoints.insert(record.id.clone(), Arc::new(record)))
        }
        Item::Volume(record) => drop(tables.volumes.insert(record.name.clone(), Arc::new(record))),
        Item::ImageName(record) => drop(
            tables
                .image_names
                .insert(record.name.clone(), Arc::new(record)),
        ),
        Item::Operation(record) => drop(tables.operations.insert(record.id.clone(), record)),
        Item::Amend(..) | Item::Note(..) | Item::Health(..) => {}
        Item::NoContainer(id) => hide(tables, &id),
        Item::NoSandbox(id) => drop(tables.sandboxes.remove(&id)),
        Item::NoNetwork(id) => drop(tables.networks.remove(&id)),
        Item::NoEndpoint(id) => drop(tables.endpoints.remove(&id)),
        Item::NoVolume(name) => drop(tables.volumes.remove(&name)),
        Item::NoImageName(name) => drop(tables.image_names.remove(&name)),
        Item::NoOperation(id) => drop(tables.operations.remove(&id)),
    }
}

fn show(tables: &mut Tables, record: Container) {
    let id = record.id.clone();
    let before = tables
        .containers
        .get(&id)
        .map(|seen| Arc::clone(&seen.borrow().container));
    if let Some(before) = before.filter(|before| before.name != record.name) {
        tables.names.remove(&(before.origin, before.name.clone()));
    }
    tables
        .names
        .insert((record.origin, record.name.clone()), id.clone());
    let live = record.state.is_live();
    let record = Arc::new(record);
    match tables.containers.get(&id) {
        Some(sender) => sender.send_modify(|seen| {
            seen.container = record;
            seen.settled &= !live;
        }),
        None => {
            let seen = Seen {
                container: record,
                settled: !live,
                removed: false,
            };
            tables.containers.insert(id, watch::channel(seen).0);
        }
    }
}

fn hide(tables: &mut Tables, id: &ContainerId) {
    if let Some(sender) = tables.containers.remove(id) {
        sender.send_modify(|seen| seen.removed = true);
        let container = Arc::clone(&sender.borrow().container);
        tables
            .names
            .remove(&(container.origin, container.name.clone()));
    }
}
