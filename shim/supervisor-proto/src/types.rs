//! What requests and answers carry. Every field but an object's id has a default, so that either side may be older.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whose namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// One of the sandbox's own.
    #[default]
    Own,
    /// The host's.
    Host,
}

/// How processes see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PidMode {
    /// Each container by itself.
    #[default]
    Container,
    /// The host's.
    Host,
    /// One for the pod.
    Pod,
}

/// Said first by every client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The client's [`crate::VERSION`].
    #[serde(default)]
    pub version: u32,
    /// Exits that happened before are told again on this connection.
    #[serde(default)]
    pub replay: bool,
}

/// Answer to [`Hello`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The supervisor's [`crate::VERSION`].
    #[serde(default)]
    pub version: u32,
    /// Its process id.
    #[serde(default)]
    pub pid: i32,
    /// Version of the program, for people.
    #[serde(default)]
    pub release: String,
}

/// What the sandbox shares; sent once, before anything else is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// UTS host name; empty keeps the host's.
    #[serde(default)]
    pub hostname: String,
    /// UTS domain name.
    #[serde(default)]
    pub domainname: String,
    /// Network namespace.
    #[serde(default)]
    pub network: Namespace,
    /// IPC namespace.
    #[serde(default)]
    pub ipc: Namespace,
    /// UTS namespace.
    #[serde(default)]
    pub uts: Namespace,
    /// PID namespace.
    #[serde(default)]
    pub pid: PidMode,
    /// Sysctls of these namespaces.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// The sandbox's cgroup below each hierarchy's mount.
    #[serde(default)]
    pub cgroup: String,
    /// The supervisor's own cgroup; empty: it stays where it was started.
    #[serde(default)]
    pub own_cgroup: String,
    /// Where the symlink to the network namespace goes; empty: nowhere.
    #[serde(default)]
    pub netns_link: String,
}

/// A port of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// IPv4 address; empty for all.
    #[serde(default)]
    pub address: String,
    /// Number, never 0.
    pub port: u16,
}

/// Ports to hold from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPorts {
    /// All or none of them.
    #[serde(default)]
    pub ports: Vec<Port>,
}

/// One mount of a root file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `overlay`, `bind`, `tmpfs` or a type of file system.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Source.
    #[serde(default)]
    pub source: String,
    /// Options of mount(8).
    #[serde(default)]
    pub options: Vec<String>,
    /// Overlay's lower folders, uppermost first.
    #[serde(default)]
    pub lower: Vec<String>,
    /// Overlay's upper folder.
    #[serde(default)]
    pub upper: String,
    /// Overlay's work folder.
    #[serde(default)]
    pub work: String,
}

/// Where output is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "format")]
pub enum Log {
    /// Nowhere.
    #[default]
    None,
    /// CRI's lines.
    Cri {
        /// File.
        path: String,
    },
    /// Docker's json-file.
    JsonFile {
        /// File.
        path: String,
        /// Rotate at this many bytes; 0 never.
        #[serde(default)]
        max_size: u64,
        /// Files kept, the current one included.
        #[serde(default)]
        max_files: u32,
        /// Rotated files are compressed.
        #[serde(default)]
        compress: bool,
    },
    /// Docker's `local`.
    Local {
        /// File.
        path: String,
        /// Rotate at this many bytes; 0 never.
        #[serde(default)]
        max_size: u64,
        /// Files kept, the current one included.
        #[serde(default)]
        max_files: u32,
        /// Rotated files are compressed.
        #[serde(default)]
        compress: bool,
    },
}

/// A container to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// Its id.
    pub id: String,
    /// Run number.
    #[serde(default)]
    pub run: u32,
    /// Runtime-spec configuration.
    #[serde(default)]
    pub config: String,
    /// Mounts of the root, outermost first.
    #[serde(default)]
    pub rootfs: Vec<Mount>,
    /// Root is read-only.
    #[serde(default)]
    pub rootfs_readonly: bool,
    /// Has a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// Keep stdin open.
    #[serde(default)]
    pub stdin: bool,
    /// Close it when the first client's input ends.
    #[serde(default)]
    pub stdin_once: bool,
    /// Its cgroup.
    #[serde(default)]
    pub cgroup: String,
    /// Its log.
    #[serde(default)]
    pub log: Log,
    /// Another runtime than the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
}

/// An OCI runtime binary that makes a container instead of the built-in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runtime {
    /// The handler's name, for messages.
    pub name: String,
    /// Absolute path of the binary.
    pub path: String,
    /// Arguments before every command.
    pub options: Vec<String>,
    /// Version of the runtime specification its configuration says; empty: one that all runtimes take.
    pub version: String,
    /// How `exec --cgroup` is said: `controller` (`pids:NAME` on cgroup v1), `plain` (on v2 only), empty for a runtime
    /// that has no such option.
    pub exec_cgroup: String,
    /// The longest one command may take, in milliseconds; 0: the supervisor's own limit.
    pub timeout_ms: u64,
}

/// An exec to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecCreate {
    /// Its id.
    pub id: String,
    /// The container.
    pub container: String,
    /// Runtime-spec `process`.
    #[serde(default)]
    pub process: String,
    /// Has a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// Keep stdin open.
    #[serde(default)]
    pub stdin: bool,
    /// Kill its tree after so many milliseconds; 0 never.
    #[serde(default)]
    pub timeout_ms: u64,
    /// Kill its tree when the connection that made it ends.
    #[serde(default)]
    pub tied: bool,
    /// Bytes per stream passed on; 0 all.
    #[serde(default)]
    pub output_limit: u64,
}

/// One object by its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    /// The id.
    pub id: String,
}

/// A signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// The container.
    pub id: String,
    /// Number.
    pub signal: i32,
    /// To all in its cgroup.
    #[serde(default)]
    pub all: bool,
}

/// Freeze or thaw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPaused {
    /// The container.
    pub id: String,
    /// Freeze.
    pub paused: bool,
}

/// A process with streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A container's run.
    Container(String),
    /// An exec.
    Exec(String),
}

/// Attach; the answer carries a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// To what.
    pub target: Target,
    /// Send input.
    #[serde(default)]
    pub stdin: bool,
    /// Receive stdout.
    #[serde(default)]
    pub stdout: bool,
    /// Receive stderr.
    #[serde(default)]
    pub stderr: bool,
}

/// Size of a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// Whose.
    pub target: Target,
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// Close stdin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseStdin {
    /// Whose.
    pub target: Target,
}

/// Processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pids {
    /// On the host, those of execs included.
    #[serde(default)]
    pub pids: Vec<i32>,
}

/// New limits for a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The container.
    pub id: String,
    /// What changes.
    #[serde(default)]
    pub limits: Limits,
}

/// Limits; what is 0, empty or left out stays as it is, -1 takes a limit away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes.
    pub memory: i64,
    /// Bytes of memory and swap together.
    pub memory_swap: i64,
    /// Bytes below which memory is reclaimed last.
    pub memory_reservation: i64,
    /// CPUs in billionths; wins over quota and period.
    pub nano_cpus: i64,
    /// Microseconds per period.
    pub cpu_quota: i64,
    /// Microseconds.
    pub cpu_period: i64,
    /// Relative weight, 2 to 262144.
    pub cpu_shares: i64,
    /// `0-3,7`.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
    /// Processes and threads.
    pub pids: i64,
    /// cgroup v2 files set as they are.
    pub unified: BTreeMap<String, String>,
}

/// A process id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pid {
    /// On the host.
    #[serde(default)]
    pub pid: i32,
}

/// A point in time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// Nanoseconds since 1970.
    #[serde(default)]
    pub at: i64,
}

/// Nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// Figures of a cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// When read.
    pub at: i64,
    /// CPU, nanoseconds.
    pub cpu_total: u64,
    /// User part.
    pub cpu_user: u64,
    /// Kernel part.
    pub cpu_system: u64,
    /// Bytes.
    pub memory_usage: u64,
    /// Bytes of inactive file cache.
    pub memory_inactive_file: u64,
    /// Bytes; 0 for none.
    pub memory_limit: u64,
    /// Tasks.
    pub pids: u64,
    /// Limit; 0 for none.
    pub pids_limit: u64,
    /// Nanoseconds of each processor; empty where the kernel does not say.
    pub cpu_per_core: Vec<u64>,
    /// Periods in which the quota counted.
    pub throttling_periods: u64,
    /// Of those, throttled.
    pub throttled_periods: u64,
    /// Nanoseconds held back.
    pub throttled_time: u64,
    /// Lines of memory.stat.
    pub memory_stat: BTreeMap<String, u64>,
    /// Most bytes ever; 0 where the kernel does not say.
    pub memory_peak: u64,
    /// How often the limit was met.
    pub memory_failures: u64,
    /// By block device.
    pub block_io: Vec<BlockIo>,
    /// Of the sandbox's own network namespace.
    pub interfaces: Vec<Interface>,
}

/// Traffic with one block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockIo {
    /// Device.
    pub major: u32,
    /// Device.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Counters of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// Bytes in.
    pub rx_bytes: u64,
    /// Packets in.
    pub rx_packets: u64,
    /// Errors in.
    pub rx_errors: u64,
    /// Dropped in.
    pub rx_dropped: u64,
    /// Bytes out.
    pub tx_bytes: u64,
    /// Packets out.
    pub tx_packets: u64,
    /// Errors out.
    pub tx_errors: u64,
    /// Dropped out.
    pub tx_dropped: u64,
}

/// How something ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Code, 128 + signal for a signal.
    pub code: i32,
    /// Nanoseconds since 1970.
    #[serde(default)]
    pub at: i64,
    /// The OOM killer acted.
    #[serde(default)]
    pub oom: bool,
    /// Its time ran out.
    #[serde(default)]
    pub timed_out: bool,
}

/// Where a container is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Made and blocked.
    #[default]
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
}
