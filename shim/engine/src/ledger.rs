//! The records: in the store for good, in memory for readers. A change is durable before anybody sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use gantry_model::container::Container;
use gantry_model::event::Event;
use gantry_model::image::{ImageName, Origin};
use gantry_model::network::{Endpoint, Network};
use gantry_model::operation::Operation;
use gantry_model::sandbox::Sandbox;
use gantry_model::volume::Volume;
use gantry_model::{ContainerId, EndpointId, NetworkId, OperationId, Result, SandboxId};
use gantry_store::{Batch, Store, Table};
use tokio::sync::watch;

use crate::change::{Change, Item};
use crate::events::Events;

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

pub(crate) struct Ledger {
    store: Store,
    tables: RwLock<Tables>,
    pub(crate) events: Events,
}

impl Ledger {
    /// Reads everything. Damaged records are answered beside it; they stay in the store.
    pub(crate) fn load(store: Store) -> Result<(Self, Vec<String>)> {
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
        Ok((
            Self {
                store,
                tables: RwLock::new(tables),
                events: Events::new(past),
            },
            damaged,
        ))
    }

    /// For readers. Never held across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a change durably, then shows it.
    pub(crate) async fn write(&self, change: Change) -> Result<()> {
        let mut batch = Batch::new();
        let mut events = Vec::new();
        for item in &change.items {
            stage(&mut batch, item)?;
        }
        for mut event in change.events {
            event.sequence = self.events.number();
            batch.put(Table::Events, &format!("{:020}", event.sequence), &event)?;
            if let Some(old) = event.sequence.checked_sub(crate::events::KEPT) {
                batch.delete(Table::Events, &format!("{old:020}"));
            }
            events.push(event);
        }
        let result = self.store.commit(batch).await;
        if result.is_ok() {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            for item in change.items {
                apply(&mut tables, item);
            }
        }
        for event in events {
            self.events
                .settle(event.sequence, result.is_ok().then_some(event));
        }
        result
    }

    /// Marks that a container's last run holds nothing any more (memory only).
    pub(crate) fn settle(&self, id: &ContainerId, settled: bool) {
        if let Some(sender) = self.read().containers.get(id) {
            sender.send_modify(|seen| seen.settled = settled);
        }
    }
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
        Item::NoContainer(id) => delete(batch, Table::Containers, id.as_str()),
        Item::NoSandbox(id) => delete(batch, Table::Sandboxes, id.as_str()),
        Item::NoNetwork(id) => delete(batch, Table::Networks, id.as_str()),
        Item::NoEndpoint(id) => delete(batch, Table::Endpoints, id.as_str()),
        Item::NoVolume(name) => delete(batch, Table::Volumes, name),
        Item::NoImageName(name) => delete(batch, Table::ImageNames, name),
        Item::NoOperation(id) => delete(batch, Table::Operations, id.as_str()),
    }
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
    tables
        .names
        .insert((record.origin, record.name.clone()), record.id.clone());
    let id = record.id.clone();
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
