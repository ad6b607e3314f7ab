//! Descriptions of mounts. Nobody here mounts; the container's own child or a helper does, from these.

use serde::{Deserialize, Serialize};

/// One mount as a driver describes it. Paths are the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountDescription {
    /// `overlay`, `bind`, `tmpfs`, or a file system type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Source folder, device or remote name.
    #[serde(default)]
    pub source: String,
    /// Mount options as in mount(8): `ro`, `rbind`, `nosuid`, `size=…`.
    #[serde(default)]
    pub options: Vec<String>,
    /// Overlay: lower folders, uppermost first.
    #[serde(default)]
    pub lower: Vec<String>,
    /// Overlay: upper folder; empty for a read-only view.
    #[serde(default)]
    pub upper: String,
    /// Overlay: work folder beside the upper one.
    #[serde(default)]
    pub work: String,
}

/// What a user asked to be mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Where from.
    pub source: MountSource,
    /// Absolute path inside the container.
    pub target: String,
    /// Not writable inside.
    #[serde(default)]
    pub read_only: bool,
    /// `rprivate` (default), `private`, `rshared`, `shared`, `rslave`, `slave`.
    #[serde(default)]
    pub propagation: Option<String>,
}

/// Where a mount comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A path of the host.
    Bind {
        /// Absolute path on the host.
        path: String,
        /// Make it as a folder where it is missing (Docker's `-v`, CRI's hostPath), instead of an error (`--mount`).
        create: bool,
    },
    /// A volume, made at first use.
    Volume {
        /// Its name; an anonymous one gets an id for a name before the record is written.
        name: String,
        /// Volume driver.
        driver: String,
        /// Driver's options, used when it is made.
        options: std::collections::BTreeMap<String, String>,
        /// Do not copy the image's content into it at first use.
        no_copy: bool,
        /// Made without a name: removed with the container's `--rm` or `rm -v`.
        anonymous: bool,
    },
    /// Memory.
    Tmpfs {
        /// Options as in mount(8).
        options: Vec<String>,
    },
}
