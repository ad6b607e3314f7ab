//! What the engine asks of storage, network and volume drivers.
//!
//! The host chooses every id and key. Every change is idempotent: done twice it is done once; removing what is not
//! there succeeds. A `DeadlineExceeded` or `Unknown` answer means the outcome is not known and the object stays locked
//! until the call returns.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::mount::MountDescription;
use crate::network::{Endpoint, Interface, Network, Pool, PublishedPort};
use crate::plugin::{PluginInfo, PluginKind, PluginState};
use crate::volume::Volume;
use crate::{Error, Result, Timestamp};

/// What a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    /// Writable, not yet committed.
    Active,
    /// Read-only view.
    View,
    /// Immutable, can be a parent.
    Committed,
}

/// A snapshot as its driver tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// Key (active, view) or name (committed).
    pub key: String,
    /// What it is.
    pub kind: SnapshotKind,
    /// Parent's name.
    pub parent: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Space a snapshot takes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

/// Layers as a tree of snapshots. An active snapshot is written to through its mounts, then committed under a name
/// that other snapshots take as parent.
#[async_trait]
pub trait Snapshotter: Send + Sync {
    /// Makes a writable snapshot on `parent` (none: empty). Done again with the same key and parent it answers the same.
    async fn prepare(
        &self,
        call: &Call,
        key: &str,
        parent: Option<&str>,
    ) -> Result<Vec<MountDescription>>;
    /// Makes a read-only snapshot on `parent`.
    async fn view(&self, call: &Call, key: &str, parent: &str) -> Result<Vec<MountDescription>>;
    /// Turns the active snapshot `key` into the committed `name`.
    async fn commit(&self, call: &Call, key: &str, name: &str) -> Result<()>;
    /// Mounts of an active snapshot or a view.
    async fn mounts(&self, call: &Call, key: &str) -> Result<Vec<MountDescription>>;
    /// Removes a snapshot of any kind.
    ///
    /// # Errors
    /// `Conflict` when it is somebody's parent.
    async fn remove(&self, call: &Call, key: &str) -> Result<()>;
    /// What is under this key.
    async fn stat(&self, call: &Call, key: &str) -> Result<SnapshotInfo>;
    /// All snapshots.
    async fn list(&self, call: &Call) -> Result<Vec<SnapshotInfo>>;
    /// Space of the snapshot without its parents.
    async fn usage(&self, call: &Call, key: &str) -> Result<Usage>;
    /// Removes what belongs to no snapshot.
    async fn cleanup(&self, call: &Call) -> Result<()>;
}

/// Answer of [`NetworkDriver::create`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkMade {
    /// Pools as taken.
    pub pools: Vec<Pool>,
    /// To be kept.
    pub state: PluginState,
}

/// Answer of [`NetworkDriver::join`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Interfaces made inside.
    pub interfaces: Vec<Interface>,
    /// Ports with the host ports chosen.
    pub ports: Vec<PublishedPort>,
    /// To be kept.
    pub state: PluginState,
}

/// Networks and the endpoints on them.
#[async_trait]
pub trait NetworkDriver: Send + Sync {
    /// Makes the network (bridge, rules).
    async fn create(&self, call: &Call, network: &Network) -> Result<NetworkMade>;
    /// Removes it.
    async fn delete(&self, call: &Call, network: &Network) -> Result<()>;
    /// Connects a sandbox. `netns` is lent; `None` stands for the host's namespace. `endpoint.ports` and addresses are
    /// the request. Whether a host port is taken by somebody else's socket is the supervisor's to find; the driver
    /// refuses those it has published itself, with `Conflict`.
    async fn join(
        &self,
        call: &Call,
        network: &Network,
        endpoint: &Endpoint,
        netns: Option<Arc<OwnedFd>>,
    ) -> Result<Joined>;
    /// Disconnects; the address is free when this returns. The namespace may be gone already.
    async fn leave(&self, call: &Call, network: &Network, endpoint: &Endpoint) -> Result<()>;
    /// Makes the kernel agree with the records: re-makes networks, takes over endpoints (their sandboxes live), removes
    /// what nobody claims. Answers what it did, in words.
    async fn reconcile(
        &self,
        call: &Call,
        networks: &[Network],
        endpoints: &[Endpoint],
    ) -> Result<Vec<String>>;
}

/// Answer of [`VolumeDriver::create`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeMade {
    /// Path on the host for people; may be empty.
    pub mountpoint: String,
    /// To be kept.
    pub state: PluginState,
}

/// Volumes.
#[async_trait]
pub trait VolumeDriver: Send + Sync {
    /// Makes it.
    async fn create(&self, call: &Call, volume: &Volume) -> Result<VolumeMade>;
    /// Removes it with its content.
    async fn remove(&self, call: &Call, volume: &Volume) -> Result<()>;
    /// Describes how to mount it for a container; the builder mounts.
    async fn mount(
        &self,
        call: &Call,
        volume: &Volume,
        container: &str,
    ) -> Result<MountDescription>;
    /// The container is done with it.
    async fn unmount(&self, call: &Call, volume: &Volume, container: &str) -> Result<()>;
    /// Names of all volumes the driver holds.
    async fn list(&self, call: &Call) -> Result<Vec<String>>;
    /// Space it takes.
    async fn usage(&self, call: &Call, volume: &Volume) -> Result<Usage>;
}

/// Finds drivers by name.
pub trait Drivers: Send + Sync {
    /// # Errors
    /// `NotFound` when no such plugin is loaded, `Unavailable` with the reason when it is quarantined.
    fn snapshotter(&self, name: &str) -> Result<Arc<dyn Snapshotter>>;
    /// # Errors
    /// As [`Drivers::snapshotter`].
    fn network(&self, name: &str) -> Result<Arc<dyn NetworkDriver>>;
    /// # Errors
    /// As [`Drivers::snapshotter`].
    fn volume(&self, name: &str) -> Result<Arc<dyn VolumeDriver>>;
    /// All plugins found, loaded or not.
    fn list(&self) -> Vec<PluginInfo>;
    /// Lifts a plugin's quarantine: its crashes are forgotten.
    ///
    /// # Errors
    /// `NotFound` when no such plugin was found, `FailedPrecondition` when it is not in quarantine.
    fn release(&self, kind: PluginKind, name: &str) -> Result<PluginInfo> {
        Err(Error::not_found(format!(
            "no {} plugin {name:?} is loaded",
            kind.as_str()
        )))
    }
}
