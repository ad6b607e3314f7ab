//! Sandboxes: the shared isolation of one pod, or of one run of a stand-alone container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::container::{DnsConfig, Resources};
use crate::image::Origin;
use crate::network::PublishedPort;
use crate::state::State;
use crate::supervisor::{NamespaceMode, PidMode};
use crate::{ContainerId, EndpointId, SandboxId, Timestamp};

/// What names a pod towards CRI.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodMetadata {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Uid.
    pub uid: String,
    /// Attempt.
    pub attempt: u32,
}

/// What a pod's sandbox should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSpec {
    /// Name.
    pub metadata: PodMetadata,
    /// Host name; empty: the pod's name, or the host's with host network.
    #[serde(default)]
    pub hostname: String,
    /// Folder of the containers' logs.
    #[serde(default)]
    pub log_directory: String,
    /// resolv.conf; empty lists: the host's.
    #[serde(default)]
    pub dns: Option<DnsConfig>,
    /// Published ports.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Network namespace.
    #[serde(default)]
    pub network: NamespaceMode,
    /// IPC namespace.
    #[serde(default)]
    pub ipc: NamespaceMode,
    /// PID namespace.
    #[serde(default)]
    pub pid: PidMode,
    /// Namespaced sysctls.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// cgroup parent; empty: the instance's.
    #[serde(default)]
    pub cgroup_parent: String,
    /// Limits of the whole pod.
    #[serde(default)]
    pub resources: Resources,
    /// Privileged containers may be made in it.
    #[serde(default)]
    pub privileged: bool,
    /// Handler; empty: the built-in one.
    #[serde(default)]
    pub handler: String,
}

/// A sandbox's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Id.
    pub id: SandboxId,
    /// Door.
    pub origin: Origin,
    /// A pod, or `None` for one run of the container in `container`.
    #[serde(default)]
    pub pod: Option<PodSpec>,
    /// The stand-alone container it was made for.
    #[serde(default)]
    pub container: Option<ContainerId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it is: `Running` is CRI's READY, everything else NOTREADY.
    pub state: State,
    /// Network namespace.
    pub network: NamespaceMode,
    /// Endpoints, recorded before they are made; the first is the primary.
    #[serde(default)]
    pub endpoints: Vec<EndpointId>,
    /// Addresses of the primary endpoint without prefix, for status.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// cgroup path below each hierarchy's mount, without a leading slash.
    pub cgroup: String,
    /// Host's files for the containers of a pod: hosts, hostname, resolv.conf.
    #[serde(default)]
    pub files: SandboxFiles,
    /// Why it is not ready, when it is not.
    #[serde(default)]
    pub reason: String,
}

/// Files bound into every container of a pod; empty paths are not bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxFiles {
    /// For /etc/hosts.
    #[serde(default)]
    pub hosts: String,
    /// For /etc/hostname.
    #[serde(default)]
    pub hostname: String,
    /// For /etc/resolv.conf.
    #[serde(default)]
    pub resolv_conf: String,
}
