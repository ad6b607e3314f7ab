//! What was asked for, as release 0.1 knew it; see `records.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::records::*;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct ContainerSpec {
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) process: ProcessSpec,
    #[serde(default)]
    pub(crate) mounts: Vec<MountSpec>,
    #[serde(default)]
    pub(crate) security: SecuritySpec,
    #[serde(default)]
    pub(crate) resources: Resources,
    #[serde(default)]
    pub(crate) network: NetworkAttachment,
    #[serde(default)]
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) domainname: String,
    #[serde(default)]
    pub(crate) host_pid: bool,
    #[serde(default)]
    pub(crate) host_ipc: bool,
    #[serde(default)]
    pub(crate) host_uts: bool,
    #[serde(default)]
    pub(crate) sysctls: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) log: LogSpec,
    #[serde(default)]
    pub(crate) stop_signal: String,
    #[serde(default)]
    pub(crate) stop_timeout: Option<i64>,
    #[serde(default)]
    pub(crate) auto_remove: bool,
    #[serde(default)]
    pub(crate) init: bool,
    #[serde(default)]
    pub(crate) handler: String,
    #[serde(default)]
    pub(crate) cgroup_parent: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct PodSpec {
    pub(crate) metadata: PodMetadata,
    #[serde(default)]
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) log_directory: String,
    #[serde(default)]
    pub(crate) dns: Option<DnsConfig>,
    #[serde(default)]
    pub(crate) ports: Vec<PublishedPort>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) network: NamespaceMode,
    #[serde(default)]
    pub(crate) ipc: NamespaceMode,
    #[serde(default)]
    pub(crate) pid: PidMode,
    #[serde(default)]
    pub(crate) sysctls: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) cgroup_parent: String,
    #[serde(default)]
    pub(crate) resources: Resources,
    #[serde(default)]
    pub(crate) privileged: bool,
    #[serde(default)]
    pub(crate) handler: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NamespaceMode {
    #[default]
    Own,
    Host,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct NetworkSpec {
    pub(crate) name: String,
    pub(crate) driver: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) pools: Vec<Pool>,
    #[serde(default)]
    pub(crate) internal: bool,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct EndpointSpec {
    pub(crate) network: String,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    #[serde(default)]
    pub(crate) ipv4: String,
    #[serde(default)]
    pub(crate) mac: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PublishedPort {
    pub(crate) protocol: Protocol,
    #[serde(default)]
    pub(crate) host_ip: String,
    #[serde(default)]
    pub(crate) host_port: u16,
    pub(crate) container_port: u16,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct ProcessSpec {
    #[serde(default)]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) env: Vec<String>,
    #[serde(default)]
    pub(crate) cwd: String,
    #[serde(default)]
    pub(crate) user: UserSpec,
    #[serde(default)]
    pub(crate) terminal: bool,
    #[serde(default)]
    pub(crate) stdin: bool,
    #[serde(default)]
    pub(crate) stdin_once: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MountSpec {
    pub(crate) source: MountSource,
    pub(crate) target: String,
    #[serde(default)]
    pub(crate) read_only: bool,
    #[serde(default)]
    pub(crate) propagation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct SecuritySpec {
    #[serde(default)]
    pub(crate) privileged: bool,
    #[serde(default)]
    pub(crate) cap_add: Vec<String>,
    #[serde(default)]
    pub(crate) cap_drop: Vec<String>,
    #[serde(default)]
    pub(crate) no_new_privileges: bool,
    #[serde(default)]
    pub(crate) seccomp: SeccompSpec,
    #[serde(default)]
    pub(crate) apparmor: String,
    #[serde(default)]
    pub(crate) read_only_rootfs: bool,
    #[serde(default)]
    pub(crate) masked_paths: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) readonly_paths: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) devices: Vec<DeviceSpec>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Resources {
    #[serde(default)]
    pub(crate) memory: i64,
    #[serde(default)]
    pub(crate) memory_swap: i64,
    #[serde(default)]
    pub(crate) memory_reservation: i64,
    #[serde(default)]
    pub(crate) nano_cpus: i64,
    #[serde(default)]
    pub(crate) cpu_quota: i64,
    #[serde(default)]
    pub(crate) cpu_period: i64,
    #[serde(default)]
    pub(crate) cpu_shares: i64,
    #[serde(default)]
    pub(crate) cpuset_cpus: String,
    #[serde(default)]
    pub(crate) cpuset_mems: String,
    #[serde(default)]
    pub(crate) pids_limit: Option<i64>,
    #[serde(default)]
    pub(crate) oom_score_adj: i32,
    #[serde(default)]
    pub(crate) ulimits: Vec<Ulimit>,
    #[serde(default)]
    pub(crate) shm_size: i64,
    #[serde(default)]
    pub(crate) unified: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct NetworkAttachment {
    #[serde(default)]
    pub(crate) endpoints: Vec<EndpointSpec>,
    #[serde(default)]
    pub(crate) host: bool,
    #[serde(default)]
    pub(crate) ports: Vec<PublishedPort>,
    #[serde(default)]
    pub(crate) dns: DnsConfig,
    #[serde(default)]
    pub(crate) extra_hosts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogSpec {
    #[default]
    JsonFile,
    JsonFileRotated {
        max_size: u64,
        max_files: u32,
    },
    Cri(String),
    None,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct PodMetadata {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct DnsConfig {
    #[serde(default)]
    pub(crate) servers: Vec<String>,
    #[serde(default)]
    pub(crate) searches: Vec<String>,
    #[serde(default)]
    pub(crate) options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PidMode {
    #[default]
    Container,
    Host,
    Pod,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct UserSpec {
    #[serde(default)]
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) uid: Option<u32>,
    #[serde(default)]
    pub(crate) gid: Option<u32>,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    #[serde(default)]
    pub(crate) strict_groups: bool,
    #[serde(default)]
    pub(crate) must_not_be_root: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MountSource {
    Bind {
        path: String,
        create: bool,
    },
    Volume {
        name: String,
        driver: String,
        options: std::collections::BTreeMap<String, String>,
        no_copy: bool,
        anonymous: bool,
    },
    Tmpfs {
        options: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeccompSpec {
    #[default]
    Default,
    Unconfined,
    Profile(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeviceSpec {
    pub(crate) host_path: String,
    pub(crate) container_path: String,
    pub(crate) permissions: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ulimit {
    pub(crate) name: String,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}
