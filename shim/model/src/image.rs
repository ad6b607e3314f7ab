//! Images: what a name points to, what its configuration says, and the service that fetches and unpacks them.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::{Result, Timestamp};

/// What a name or an index entry points to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Descriptor {
    /// Media type.
    pub media_type: String,
    /// `sha256:<64 hex>`.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// The image of one platform, read from its manifest and configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageDetails {
    /// The name's target: index or manifest.
    pub target: Descriptor,
    /// Manifest of the host's platform.
    pub manifest: Descriptor,
    /// Configuration; its digest is CRI's image id.
    pub config_digest: String,
    /// `amd64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// `v8` and the like.
    #[serde(default)]
    pub variant: String,
    /// When it was made, as the configuration says (RFC 3339 text; may be empty).
    #[serde(default)]
    pub created: String,
    /// Author.
    #[serde(default)]
    pub author: String,
    /// Uncompressed layer digests, bottom first.
    pub diff_ids: Vec<String>,
    /// Chain id of the top layer: key of its committed snapshot; empty for an image without layers.
    pub chain_id: String,
    /// Bytes of all blobs (manifest, configuration, layers).
    pub content_size: u64,
    /// Bytes of the unpacked layers, as unpacking counted them; 0 if unknown.
    #[serde(default)]
    pub unpacked_size: u64,
    /// How to run it.
    pub config: ImageConfig,
    /// History as raw JSON array text.
    #[serde(default)]
    pub history: String,
}

/// The part of an image's configuration that says how to run it. Attacker's input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `user[:group]`.
    #[serde(default)]
    pub user: String,
    /// `8080/tcp`.
    #[serde(default)]
    pub exposed_ports: BTreeSet<String>,
    /// `KEY=value`.
    #[serde(default)]
    pub env: Vec<String>,
    /// Entry point.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    #[serde(default)]
    pub cmd: Option<Vec<String>>,
    /// Paths that become anonymous volumes.
    #[serde(default)]
    pub volumes: BTreeSet<String>,
    /// Working directory.
    #[serde(default)]
    pub working_dir: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Signal that stops it: `SIGTERM`, `15`.
    #[serde(default)]
    pub stop_signal: String,
    /// What `CMD-SHELL` of a health check is given to; empty: `/bin/sh -c`.
    #[serde(default)]
    pub shell: Vec<String>,
    /// Health check as raw JSON text, empty if none.
    #[serde(default)]
    pub healthcheck: String,
}

/// Which door a name or container belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Docker Engine API.
    Docker,
    /// CRI.
    Cri,
}

/// A name's record: normalised reference to target, and the doors that claim it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageName {
    /// Normalised: `docker.io/library/busybox:latest`, or `…@sha256:…`.
    pub name: String,
    /// What it points to.
    pub target: Descriptor,
    /// Doors that gave this name.
    pub claims: BTreeSet<Origin>,
    /// When it was last pointed somewhere.
    pub updated_at: Timestamp,
}

/// Credentials for one pull. Never logged, never stored.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Identity (refresh) token.
    pub identity_token: String,
    /// Bearer token to use as it is.
    pub registry_token: String,
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RegistryAuth(…)")
    }
}

/// How far a pull or load is, for one blob or as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A layer (by digest) waits for its turn.
    Waiting(String),
    /// Bytes of a layer.
    Downloading {
        /// Layer digest.
        digest: String,
        /// Bytes there.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// All bytes are there and verified.
    Downloaded(String),
    /// It is being unpacked.
    Extracting {
        /// Layer digest.
        digest: String,
        /// Bytes unpacked.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Downloaded and unpacked.
    Complete(String),
    /// It was there before.
    Exists(String),
    /// A text for people.
    Message(String),
}

/// Receives progress; must not block.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// One image out of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Normalised names it had in the archive; may be empty.
    pub names: Vec<String>,
    /// What they point to.
    pub target: Descriptor,
}

/// A stream of bytes that somebody sends.
pub type ByteStream = Pin<Box<dyn stream::ByteRead + Send + Unpin>>;

/// The one property of a byte stream the service needs, without naming an I/O library.
pub mod stream {
    use async_trait::async_trait;

    /// Yields pieces until the end.
    #[async_trait]
    pub trait ByteRead {
        /// The next piece; `None` at the end.
        ///
        /// # Errors
        /// Whatever broke the stream, as a text.
        async fn next(&mut self) -> Option<Result<Vec<u8>, String>>;
    }
}

/// What must survive a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// Target digests of names, containers and leases.
    pub targets: BTreeSet<String>,
    /// Snapshot keys of containers, with their drivers: `(driver, key)`.
    pub snapshots: BTreeSet<(String, String)>,
}

/// Fetches, verifies, unpacks and describes images. Names and claims are the engine's.
#[async_trait]
pub trait ImageService: Send + Sync {
    /// Pulls what the normalised reference names, for the host's platform, unpacks it into the snapshotter and answers
    /// the target. Content is on disk (fsynced) when this returns.
    ///
    /// # Errors
    /// `NotFound` (no such manifest), `Unauthenticated`, `Unavailable` (registry does not answer), `DataLoss` (digest
    /// or size is wrong), `InvalidArgument` (ambiguous or oversized documents).
    async fn pull(
        &self,
        call: &Call,
        reference: &str,
        auth: Option<&RegistryAuth>,
        snapshotter: &str,
        progress: ProgressSink,
    ) -> Result<Descriptor>;

    /// Reads a docker-save or OCI archive (optionally gzip or zstd) and unpacks its images.
    async fn load(
        &self,
        call: &Call,
        archive: ByteStream,
        snapshotter: &str,
        progress: ProgressSink,
    ) -> Result<Vec<Loaded>>;

    /// Makes sure the layers are unpacked (after a collection, or for another snapshotter); answers the details.
    async fn ensure_unpacked(
        &self,
        call: &Call,
        target: &Descriptor,
        snapshotter: &str,
    ) -> Result<ImageDetails>;

    /// Describes a target. From memory after the first time.
    async fn details(&self, target: &Descriptor) -> Result<Arc<ImageDetails>>;

    /// Copies what the rootfs made by `rootfs` mounts has under `path` into the folder `destination` on the host, with
    /// owners, modes and xattrs, if the destination is empty (first use of a volume).
    async fn copy_up(
        &self,
        call: &Call,
        rootfs: &[crate::mount::MountDescription],
        path: &str,
        destination: &str,
    ) -> Result<()>;

    /// Removes blobs and committed snapshots nothing in `roots` needs; answers the digests of the removed blobs.
    /// Content that a pull or load under way uses is kept.
    async fn collect(&self, call: &Call, roots: &Roots) -> Result<Vec<String>>;

    /// Bytes and inodes the content store and snapshots take, as last counted, with the folder they are in.
    async fn usage(&self) -> Result<(crate::driver::Usage, String)>;
}
