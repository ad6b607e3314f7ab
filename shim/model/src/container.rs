//! Containers: what was asked, what is recorded, and what a reader is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::{Descriptor, Origin};
use crate::mount::MountSpec;
use crate::network::{EndpointSpec, PublishedPort};
use crate::policy::{HealthSpec, RestartSpec, RestartState};
use crate::state::State;
use crate::supervisor::{Exit, LogSink};
use crate::{ContainerId, SandboxId, Timestamp};

/// Who a process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// `name`, `uid`, `name:group`, `uid:gid`; empty: the image's. Looked up inside the container.
    #[serde(default)]
    pub user: String,
    /// A numeric user that wins over `user` and is never looked up (CRI's RunAsUser).
    #[serde(default)]
    pub uid: Option<u32>,
    /// A numeric group (CRI's RunAsGroup).
    #[serde(default)]
    pub gid: Option<u32>,
    /// More groups: numbers or names.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Take only `groups`, not those the image's group file gives.
    #[serde(default)]
    pub strict_groups: bool,
    /// Refuse to run as user 0 (CRI's RunAsNonRoot).
    #[serde(default)]
    pub must_not_be_root: bool,
}

/// The process to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Replaces the image's entry point; with it the image's arguments are dropped too.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's arguments.
    #[serde(default)]
    pub cmd: Option<Vec<String>>,
    /// `KEY=value`, over the image's; `KEY` alone removes.
    #[serde(default)]
    pub env: Vec<String>,
    /// Working directory; empty: the image's.
    #[serde(default)]
    pub cwd: String,
    /// User.
    #[serde(default)]
    pub user: UserSpec,
    /// Has a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// Keep stdin open.
    #[serde(default)]
    pub stdin: bool,
    /// Close stdin when the first attached client's input ends.
    #[serde(default)]
    pub stdin_once: bool,
}

/// Which seccomp filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeccompSpec {
    /// Gantry's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile as JSON text (Docker's format).
    Profile(String),
}

/// A device of the host to be made inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// Path on the host.
    pub host_path: String,
    /// Path inside.
    pub container_path: String,
    /// `rwm`.
    pub permissions: String,
}

/// What confines it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecuritySpec {
    /// All capabilities, devices and system files.
    #[serde(default)]
    pub privileged: bool,
    /// Capabilities to add to the default set, without or with `CAP_`; `ALL`.
    #[serde(default)]
    pub cap_add: Vec<String>,
    /// Capabilities to drop; `ALL`.
    #[serde(default)]
    pub cap_drop: Vec<String>,
    /// Set no_new_privs.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// Filter.
    #[serde(default)]
    pub seccomp: SeccompSpec,
    /// AppArmor profile; empty: none.
    #[serde(default)]
    pub apparmor: String,
    /// Root file system read-only.
    #[serde(default)]
    pub read_only_rootfs: bool,
    /// Paths hidden; `None`: the default list.
    #[serde(default)]
    pub masked_paths: Option<Vec<String>>,
    /// Paths read-only; `None`: the default list.
    #[serde(default)]
    pub readonly_paths: Option<Vec<String>>,
    /// Devices.
    #[serde(default)]
    pub devices: Vec<DeviceSpec>,
}

/// A resource limit of getrlimit(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`.
    pub name: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// What it may take. Zero and `None` mean "no limit of its own".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory limit in bytes.
    #[serde(default)]
    pub memory: i64,
    /// Memory and swap in bytes; -1: unlimited swap.
    #[serde(default)]
    pub memory_swap: i64,
    /// Soft memory limit in bytes.
    #[serde(default)]
    pub memory_reservation: i64,
    /// CPUs in billionths.
    #[serde(default)]
    pub nano_cpus: i64,
    /// CFS quota in microseconds per period.
    #[serde(default)]
    pub cpu_quota: i64,
    /// CFS period in microseconds.
    #[serde(default)]
    pub cpu_period: i64,
    /// Relative weight.
    #[serde(default)]
    pub cpu_shares: i64,
    /// `0-3,7`.
    #[serde(default)]
    pub cpuset_cpus: String,
    /// Memory nodes.
    #[serde(default)]
    pub cpuset_mems: String,
    /// Processes and threads; `None` or 0 or -1: no limit.
    #[serde(default)]
    pub pids_limit: Option<i64>,
    /// -1000 to 1000; clamped to what the host lets us.
    #[serde(default)]
    pub oom_score_adj: i32,
    /// Resource limits.
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    /// Bytes of /dev/shm; 0: 64 MiB.
    #[serde(default)]
    pub shm_size: i64,
    /// cgroup v2 files set as they are.
    #[serde(default)]
    pub unified: BTreeMap<String, String>,
}

/// Network of a stand-alone container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAttachment {
    /// Endpoints, the first gives the default route. Empty with `host` false: no network but lo.
    #[serde(default)]
    pub endpoints: Vec<EndpointSpec>,
    /// Use the host's namespace.
    #[serde(default)]
    pub host: bool,
    /// Published ports.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    /// Name servers for resolv.conf; empty: the host's.
    #[serde(default)]
    pub dns: DnsConfig,
    /// `name:address` lines for /etc/hosts.
    #[serde(default)]
    pub extra_hosts: Vec<String>,
}

/// What goes into resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// Servers.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Search domains.
    #[serde(default)]
    pub searches: Vec<String>,
    /// Options.
    #[serde(default)]
    pub options: Vec<String>,
}

/// Where output goes, before paths are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "crate::written::WrittenLogSpec",
    into = "crate::written::WrittenLogSpec"
)]
pub enum LogSpec {
    /// json-file in the container's own folder.
    #[default]
    JsonFile,
    /// json-file with rotation.
    JsonFileRotated {
        /// Bytes; 0 never.
        max_size: u64,
        /// Files kept.
        max_files: u32,
        /// Compress rotated files.
        compress: bool,
    },
    /// Docker's `local` driver.
    Local {
        /// Bytes.
        max_size: u64,
        /// Files kept.
        max_files: u32,
        /// Compress rotated files.
        compress: bool,
    },
    /// CRI's format at this absolute path.
    Cri(String),
    /// Nothing.
    None,
}

/// What a container should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Image as the user named it.
    pub image: String,
    /// Process.
    #[serde(default)]
    pub process: ProcessSpec,
    /// Mounts in the order asked.
    #[serde(default)]
    pub mounts: Vec<MountSpec>,
    /// Confinement.
    #[serde(default)]
    pub security: SecuritySpec,
    /// Limits.
    #[serde(default)]
    pub resources: Resources,
    /// Network of a stand-alone container; unused in a pod.
    #[serde(default)]
    pub network: NetworkAttachment,
    /// Host name; empty: the short id.
    #[serde(default)]
    pub hostname: String,
    /// Domain name.
    #[serde(default)]
    pub domainname: String,
    /// PID namespace is the host's.
    #[serde(default)]
    pub host_pid: bool,
    /// IPC namespace is the host's.
    #[serde(default)]
    pub host_ipc: bool,
    /// UTS namespace is the host's.
    #[serde(default)]
    pub host_uts: bool,
    /// Namespaced sysctls.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations (CRI).
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Log.
    #[serde(default)]
    pub log: LogSpec,
    /// Signal that stops it: `SIGTERM`, `TERM`, `15`; empty: the image's.
    #[serde(default)]
    pub stop_signal: String,
    /// Seconds between that signal and SIGKILL; `None`: 10.
    #[serde(default)]
    pub stop_timeout: Option<i64>,
    /// Remove it when its run ends.
    #[serde(default)]
    pub auto_remove: bool,
    /// When it is started again.
    #[serde(default)]
    pub restart: RestartSpec,
    /// How its health is probed; `None`: as the image says.
    #[serde(default)]
    pub health: Option<HealthSpec>,
    /// Put a small init in front; not served yet, refused by the engine.
    #[serde(default)]
    pub init: bool,
    /// Handler (RuntimeClass, `--runtime`); empty: the built-in one.
    #[serde(default)]
    pub handler: String,
    /// cgroup parent; empty: the instance's.
    #[serde(default)]
    pub cgroup_parent: String,
}

/// One numbered start, from start to exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// From 1.
    pub number: u32,
    /// Sandbox it runs in.
    pub sandbox: SandboxId,
    /// Pid on the host; 0 when not running.
    #[serde(default)]
    pub pid: i32,
    /// When it was let go; zero if it never was.
    #[serde(default)]
    pub started_at: Timestamp,
    /// Its end.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Why it could not start, or what else went wrong.
    #[serde(default)]
    pub error: String,
    /// Of release 0.1, which reads it: what a user stopped stands in [`Container::restart`] now.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// How the run before ended.
    #[serde(default)]
    pub previous: Option<Exit>,
}

/// A container's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Id.
    pub id: ContainerId,
    /// Door that made it.
    pub origin: Origin,
    /// Unique name within its origin.
    pub name: String,
    /// CRI: metadata name.
    #[serde(default)]
    pub cri_name: String,
    /// CRI: attempt.
    #[serde(default)]
    pub attempt: u32,
    /// CRI: its pod. A stand-alone container gets a sandbox at each start instead.
    #[serde(default)]
    pub pod: Option<SandboxId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What was asked, with the image's defaults still apart.
    pub spec: ContainerSpec,
    /// What the door wants to keep to answer inspect; the engine never reads it.
    #[serde(default)]
    pub door_data: String,
    /// Normalised image reference, or digest.
    pub image_name: String,
    /// What that pointed to.
    pub image: Descriptor,
    /// Configuration digest of the platform's image.
    pub image_config: String,
    /// Snapshotter that holds its writable layer, under its id as key.
    pub snapshotter: String,
    /// Where it is.
    pub state: State,
    /// The current or last run.
    #[serde(default)]
    pub run: Option<Run>,
    /// Restarts by policy.
    #[serde(default)]
    pub restart: RestartState,
    /// Names of its volumes, in the order of mounts.
    #[serde(default)]
    pub volumes: Vec<VolumeUse>,
    /// Absolute path of its log; empty if none.
    #[serde(default)]
    pub log_path: String,
    /// Where the supervisor writes.
    pub log: LogSink,
    /// Host's files bound over /etc: hosts, hostname, resolv.conf (absolute paths, may be empty).
    #[serde(default)]
    pub hosts_path: String,
    /// As above.
    #[serde(default)]
    pub hostname_path: String,
    /// As above.
    #[serde(default)]
    pub resolv_path: String,
    /// It is being removed together with its anonymous volumes.
    #[serde(default)]
    pub goes_with_volumes: bool,
}

/// A volume in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeUse {
    /// Volume's name.
    pub name: String,
    /// Volume driver.
    pub driver: String,
    /// Path inside.
    pub target: String,
    /// Not writable inside.
    pub read_only: bool,
    /// Declared by the image or `-v /path`: goes with `--rm` and `rm -v`.
    pub anonymous: bool,
    /// Do not fill it from the image.
    #[serde(default)]
    pub no_copy: bool,
    /// Path on the host for people.
    #[serde(default)]
    pub mountpoint: String,
}

impl Container {
    /// Exit of the last run that has ended.
    pub fn last_exit(&self) -> Option<&Exit> {
        let run = self.run.as_ref()?;
        run.exit.as_ref().or(run.previous.as_ref())
    }

    /// Exit of the last run, if it ended.
    pub fn exit(&self) -> Option<&Exit> {
        self.run.as_ref().and_then(|run| run.exit.as_ref())
    }
}
