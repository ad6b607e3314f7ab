//! The records as release 0.1 knew them: its types word for word, without their comments and methods. Frozen: a field or
//! a value that is added later is added to `gantry_model`, never here.

#![allow(dead_code, reason = "read by serde, compared as a whole")]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::specs::*;

pub type ContainerId = String;
pub type SandboxId = String;
pub type NetworkId = String;
pub type EndpointId = String;
pub type OperationId = String;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub id: ContainerId,
    pub origin: Origin,
    pub name: String,
    #[serde(default)]
    pub cri_name: String,
    #[serde(default)]
    pub attempt: u32,
    #[serde(default)]
    pub pod: Option<SandboxId>,
    pub created_at: Timestamp,
    pub spec: ContainerSpec,
    #[serde(default)]
    pub door_data: String,
    pub image_name: String,
    pub image: Descriptor,
    pub image_config: String,
    pub snapshotter: String,
    pub state: State,
    #[serde(default)]
    pub run: Option<Run>,
    #[serde(default)]
    pub volumes: Vec<VolumeUse>,
    #[serde(default)]
    pub log_path: String,
    pub log: LogSink,
    #[serde(default)]
    pub hosts_path: String,
    #[serde(default)]
    pub hostname_path: String,
    #[serde(default)]
    pub resolv_path: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sandbox {
    pub id: SandboxId,
    pub origin: Origin,
    #[serde(default)]
    pub pod: Option<PodSpec>,
    #[serde(default)]
    pub container: Option<ContainerId>,
    pub created_at: Timestamp,
    pub state: State,
    pub network: NamespaceMode,
    #[serde(default)]
    pub endpoints: Vec<EndpointId>,
    #[serde(default)]
    pub addresses: Vec<String>,
    pub cgroup: String,
    #[serde(default)]
    pub files: SandboxFiles,
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    pub id: NetworkId,
    pub spec: NetworkSpec,
    pub created_at: Timestamp,
    #[serde(default)]
    pub predefined: bool,
    #[serde(default)]
    pub state: PluginState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    pub network: NetworkId,
    pub sandbox: SandboxId,
    pub spec: EndpointSpec,
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    #[serde(default)]
    pub joined: bool,
    #[serde(default)]
    pub state: PluginState,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    pub driver: String,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    pub created_at: Timestamp,
    #[serde(default)]
    pub anonymous: bool,
    #[serde(default)]
    pub filled: bool,
    #[serde(default)]
    pub mountpoint: String,
    #[serde(default)]
    pub made: bool,
    #[serde(default)]
    pub state: PluginState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageName {
    pub name: String,
    pub target: Descriptor,
    pub claims: BTreeSet<Origin>,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub id: OperationId,
    pub kind: OperationKind,
    pub object: String,
    pub since: Timestamp,
    pub deadline: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub sequence: u64,
    pub at: Timestamp,
    pub subject: Subject,
    pub action: String,
    pub id: String,
    pub origin: Option<Origin>,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Docker,
    Cri,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Created,
    Running,
    Paused,
    Exited,
    Removing,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub number: u32,
    pub sandbox: SandboxId,
    #[serde(default)]
    pub pid: i32,
    #[serde(default)]
    pub started_at: Timestamp,
    #[serde(default)]
    pub exit: Option<Exit>,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub stopped_by_user: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeUse {
    pub name: String,
    pub driver: String,
    pub target: String,
    pub read_only: bool,
    pub anonymous: bool,
    #[serde(default)]
    pub no_copy: bool,
    #[serde(default)]
    pub mountpoint: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "format")]
pub enum LogSink {
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
pub struct SandboxFiles {
    #[serde(default)]
    pub hosts: String,
    #[serde(default)]
    pub hostname: String,
    #[serde(default)]
    pub resolv_conf: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PluginState {
    #[serde(default)]
    pub schema: u32,
    #[serde(default)]
    pub data: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    #[serde(default)]
    pub mac: String,
    #[serde(default)]
    pub addresses: Vec<String>,
    #[serde(default)]
    pub gateway: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
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
pub enum Subject {
    Container,
    Sandbox,
    Image,
    Network,
    Volume,
    Plugin,
    Daemon,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Exit {
    pub code: i32,
    pub at: Timestamp,
    #[serde(default)]
    pub oom: bool,
    #[serde(default)]
    pub timed_out: bool,
    #[serde(default)]
    pub unknown: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pool {
    #[serde(default)]
    pub subnet: String,
    #[serde(default)]
    pub range: String,
    #[serde(default)]
    pub gateway: String,
}
