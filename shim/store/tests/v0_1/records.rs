//! The records as release 0.1 knew them: its types word for word, without their comments and methods. Frozen: a field or
//! a value that is added later is added to `gantry_model`, never here.

#![allow(dead_code, reason = "read by serde, compared as a whole")]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::specs::*;

pub(crate) type ContainerId = String;
pub(crate) type SandboxId = String;
pub(crate) type NetworkId = String;
pub(crate) type EndpointId = String;
pub(crate) type OperationId = String;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    pub(crate) origin: Origin,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) cri_name: String,
    #[serde(default)]
    pub(crate) attempt: u32,
    #[serde(default)]
    pub(crate) pod: Option<SandboxId>,
    pub(crate) created_at: Timestamp,
    pub(crate) spec: ContainerSpec,
    #[serde(default)]
    pub(crate) door_data: String,
    pub(crate) image_name: String,
    pub(crate) image: Descriptor,
    pub(crate) image_config: String,
    pub(crate) snapshotter: String,
    pub(crate) state: State,
    #[serde(default)]
    pub(crate) run: Option<Run>,
    #[serde(default)]
    pub(crate) volumes: Vec<VolumeUse>,
    #[serde(default)]
    pub(crate) log_path: String,
    pub(crate) log: LogSink,
    #[serde(default)]
    pub(crate) hosts_path: String,
    #[serde(default)]
    pub(crate) hostname_path: String,
    #[serde(default)]
    pub(crate) resolv_path: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    pub(crate) id: SandboxId,
    pub(crate) origin: Origin,
    #[serde(default)]
    pub(crate) pod: Option<PodSpec>,
    #[serde(default)]
    pub(crate) container: Option<ContainerId>,
    pub(crate) created_at: Timestamp,
    pub(crate) state: State,
    pub(crate) network: NamespaceMode,
    #[serde(default)]
    pub(crate) endpoints: Vec<EndpointId>,
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    pub(crate) cgroup: String,
    #[serde(default)]
    pub(crate) files: SandboxFiles,
    #[serde(default)]
    pub(crate) reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) id: NetworkId,
    pub(crate) spec: NetworkSpec,
    pub(crate) created_at: Timestamp,
    #[serde(default)]
    pub(crate) predefined: bool,
    #[serde(default)]
    pub(crate) state: PluginState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) network: NetworkId,
    pub(crate) sandbox: SandboxId,
    pub(crate) spec: EndpointSpec,
    #[serde(default)]
    pub(crate) ports: Vec<PublishedPort>,
    #[serde(default)]
    pub(crate) interfaces: Vec<Interface>,
    #[serde(default)]
    pub(crate) joined: bool,
    #[serde(default)]
    pub(crate) state: PluginState,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) driver: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
    #[serde(default)]
    pub(crate) anonymous: bool,
    #[serde(default)]
    pub(crate) filled: bool,
    #[serde(default)]
    pub(crate) mountpoint: String,
    #[serde(default)]
    pub(crate) made: bool,
    #[serde(default)]
    pub(crate) state: PluginState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImageName {
    pub(crate) name: String,
    pub(crate) target: Descriptor,
    pub(crate) claims: BTreeSet<Origin>,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: OperationId,
    pub(crate) kind: OperationKind,
    pub(crate) object: String,
    pub(crate) since: Timestamp,
    pub(crate) deadline: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) subject: Subject,
    pub(crate) action: String,
    pub(crate) id: String,
    pub(crate) origin: Option<Origin>,
    pub(crate) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Docker,
    Cri,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Timestamp(pub(crate) i64);

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Created,
    Running,
    Paused,
    Exited,
    Removing,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) number: u32,
    pub(crate) sandbox: SandboxId,
    #[serde(default)]
    pub(crate) pid: i32,
    #[serde(default)]
    pub(crate) started_at: Timestamp,
    #[serde(default)]
    pub(crate) exit: Option<Exit>,
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) stopped_by_user: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumeUse {
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) anonymous: bool,
    #[serde(default)]
    pub(crate) no_copy: bool,
    #[serde(default)]
    pub(crate) mountpoint: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "format")]
pub(crate) enum LogSink {
    None,
    Cri {
        path: String,
    },
    JsonFile {
        path: String,
        max_size: u64,
        max_files: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct SandboxFiles {
    #[serde(default)]
    pub(crate) hosts: String,
    #[serde(default)]
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) resolv_conf: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct PluginState {
    #[serde(default)]
    pub(crate) schema: u32,
    #[serde(default)]
    pub(crate) data: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Interface {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) mac: String,
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    #[serde(default)]
    pub(crate) gateway: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OperationKind {
    CreateContainer,
    StartContainer,
    StopContainer,
    RemoveContainer,
    RunSandbox,
    StopSandbox,
    RemoveSandbox,
    PullImage,
    LoadImages,
    CreateNetwork,
    RemoveNetwork,
    CreateVolume,
    RemoveVolume,
    Other,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    Container,
    Sandbox,
    Image,
    Network,
    Volume,
    Plugin,
    Daemon,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    pub(crate) at: Timestamp,
    #[serde(default)]
    pub(crate) oom: bool,
    #[serde(default)]
    pub(crate) timed_out: bool,
    #[serde(default)]
    pub(crate) unknown: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Pool {
    #[serde(default)]
    pub(crate) subnet: String,
    #[serde(default)]
    pub(crate) range: String,
    #[serde(default)]
    pub(crate) gateway: String,
}
