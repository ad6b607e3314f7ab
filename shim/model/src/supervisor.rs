//! What the engine needs of supervisors: one small process per sandbox that makes, reaps and outlives.
//!
//! The engine speaks only these traits; `supervisor-client` implements them over the supervisor's socket.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::call::Call;
use crate::handler::Runtime;
use crate::mount::MountDescription;
use crate::{ContainerId, ExecId, Result, SandboxId, Timestamp};

/// Whose namespace of one kind a sandbox uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceMode {
    /// One of its own.
    #[default]
    Own,
    /// The host's.
    Host,
}

/// How a sandbox's processes see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PidMode {
    /// Each container has its own.
    #[default]
    Container,
    /// The host's.
    Host,
    /// One for the whole pod, held by the tiny init.
    Pod,
}

/// How to start a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLaunch {
    /// The sandbox.
    pub id: SandboxId,
    /// UTS host name of the sandbox; empty keeps the host's.
    pub hostname: String,
    /// UTS domain name.
    pub domainname: String,
    /// Network namespace.
    pub network: NamespaceMode,
    /// IPC namespace.
    pub ipc: NamespaceMode,
    /// UTS namespace.
    pub uts: NamespaceMode,
    /// PID namespace.
    pub pid: PidMode,
    /// Namespaced sysctls set when the namespaces are made.
    pub sysctls: std::collections::BTreeMap<String, String>,
    /// Path of the sandbox's cgroup below each hierarchy's mount, without a leading slash. The containers' cgroups are
    /// below it; the supervisor's own leaf is elsewhere.
    pub cgroup: String,
}

/// How a container's output is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "crate::written::WrittenLogSink",
    into = "crate::written::WrittenLogSink"
)]
pub enum LogSink {
    /// Nothing is written; attached clients still see the output.
    None,
    /// CRI's `RFC3339Nano stream P|F text` lines.
    Cri {
        /// Absolute path of the file.
        path: String,
    },
    /// Docker's json-file lines.
    JsonFile {
        /// Absolute path of the file.
        path: String,
        /// Rotate at this size in bytes; 0 means never.
        max_size: u64,
        /// How many files are kept, the current one included.
        max_files: u32,
        /// Rotated files are compressed with gzip, beside the writing.
        compress: bool,
    },
    /// Docker's `local`: Gantry's own compact records, rotated.
    Local {
        /// Absolute path of the current file.
        path: String,
        /// As above.
        max_size: u64,
        /// As above.
        max_files: u32,
        /// As above.
        compress: bool,
    },
}

/// One container to be made inside a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerLaunch {
    /// The container.
    pub id: ContainerId,
    /// Number of the run, from 1.
    pub run: u32,
    /// Runtime-spec configuration as JSON. Its mounts already contain the volumes and files to bind.
    pub config: String,
    /// Mounts that make the root file system, outermost first.
    pub rootfs: Vec<MountDescription>,
    /// Mount the root file system read-only.
    pub rootfs_readonly: bool,
    /// Has a terminal.
    pub terminal: bool,
    /// Keep stdin open (otherwise it is /dev/null).
    pub stdin: bool,
    /// Close stdin when the first attached client's input ends.
    pub stdin_once: bool,
    /// Path of the container's cgroup below each hierarchy's mount, without a leading slash.
    pub cgroup: String,
    /// Where its output goes.
    pub log: LogSink,
    /// Another runtime than the built-in one.
    #[serde(default)]
    pub runtime: Option<Runtime>,
}

/// One exec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecLaunch {
    /// The exec.
    pub id: ExecId,
    /// The container it runs in.
    pub container: ContainerId,
    /// Runtime-spec `process` object as JSON.
    pub process: String,
    /// Has a terminal.
    pub terminal: bool,
    /// Keep stdin open.
    pub stdin: bool,
    /// Kill the exec's whole tree after this many milliseconds; 0 means never. The supervisor keeps this deadline.
    pub timeout_ms: u64,
    /// Kill it when the connection that asked for it ends: nobody would hear how it ended (health probes).
    pub tied: bool,
    /// Bytes per stream that are passed on; what is over is read and dropped, so that the command can end. 0: all.
    pub output_limit: u64,
}

/// How a run or an exec ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal for a signal; 255 with `unknown`.
    pub code: i32,
    /// When.
    pub at: Timestamp,
    /// The kernel's OOM killer acted in its cgroup.
    #[serde(default)]
    pub oom: bool,
    /// Killed because its time ran out.
    #[serde(default)]
    pub timed_out: bool,
    /// The supervisor died with it: code and time are not known.
    #[serde(default)]
    pub unknown: bool,
}

/// What a container in a supervisor is doing, as its state file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Made and blocked.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
}

/// One container's part of a supervisor's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The container.
    pub id: ContainerId,
    /// Run number.
    pub run: u32,
    /// Where it is.
    pub state: TaskState,
    /// Pid on the host, 0 when gone.
    pub pid: i32,
    /// When it was let go.
    pub started_at: Timestamp,
    /// Its end.
    pub exit: Option<Exit>,
}

/// A sandbox found at start-up.
pub struct Recovered {
    /// The sandbox.
    pub id: SandboxId,
    /// Its supervisor is alive (its lock is held).
    pub alive: bool,
    /// It was told "committed".
    pub committed: bool,
    /// State file's boot id is another boot's: nothing in it is true any more.
    pub stale: bool,
    /// Its containers as last written.
    pub tasks: Vec<TaskRecord>,
    /// The way to talk to it when alive.
    pub handle: Option<Arc<dyn Supervisor>>,
    /// What it tells unasked, when alive.
    pub events: Option<mpsc::UnboundedReceiver<SupervisorEvent>>,
}

/// What a supervisor tells unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SupervisorEvent {
    /// A container ended; it is on disk already and its output is drained.
    Exited {
        /// The container.
        id: ContainerId,
        /// Run number.
        run: u32,
        /// How.
        exit: Exit,
    },
    /// An exec ended and its output is drained.
    ExecExited {
        /// The exec.
        id: ExecId,
        /// How.
        exit: Exit,
    },
    /// The supervisor died (its lock is free).
    Gone,
}

/// One piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// True for stderr. A terminal has stdout alone.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// One piece of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Bytes for stdin.
    Data(Vec<u8>),
    /// No more will come: half-close.
    End,
}

/// An attached client's two ends. Dropping `output` detaches. `output` ends when the run's output is drained, or when
/// this client was too slow and was dropped.
pub struct Attached {
    /// From the container; bounded, the supervisor drops a client that does not read.
    pub output: mpsc::Receiver<Output>,
    /// To the container; bounded, waits when the container does not read.
    pub input: mpsc::Sender<Input>,
}

/// Which streams a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachStreams {
    /// Send input.
    pub stdin: bool,
    /// Receive stdout.
    pub stdout: bool,
    /// Receive stderr.
    pub stderr: bool,
}

/// A process with streams: a container's current run, or an exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The container's run.
    Container(ContainerId),
    /// An exec.
    Exec(ExecId),
}

/// Terminal size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// Figures of a container's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// When read.
    pub at: Timestamp,
    /// CPU time in nanoseconds.
    pub cpu_total: u64,
    /// User part.
    pub cpu_user: u64,
    /// Kernel part.
    pub cpu_system: u64,
    /// Bytes in use, caches included.
    pub memory_usage: u64,
    /// Bytes of inactive file cache.
    pub memory_inactive_file: u64,
    /// Limit in bytes; 0 for none.
    pub memory_limit: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Limit of those; 0 for none.
    pub pids_limit: u64,
    /// Nanoseconds of each processor; empty where the kernel does not say.
    pub cpu_per_core: Vec<u64>,
    /// Periods, those that were throttled, and nanoseconds lost.
    pub throttling: Throttling,
    /// Every line of the cgroup's memory.stat.
    pub memory_stat: std::collections::BTreeMap<String, u64>,
    /// Most bytes ever in use; 0 where the kernel does not say.
    pub memory_peak: u64,
    /// How often the memory limit was met.
    pub memory_failures: u64,
    /// Bytes and operations by block device.
    pub block_io: Vec<BlockIo>,
    /// Counters of the interfaces in the sandbox's network namespace; empty for the host's.
    pub interfaces: Vec<InterfaceCounters>,
}

/// How often a CPU quota held a cgroup back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Throttling {
    /// Periods with work.
    pub periods: u64,
    /// Of those, throttled.
    pub throttled: u64,
    /// Nanoseconds held back.
    pub time: u64,
}

/// What a cgroup read from and wrote to one block device.
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

/// Counters of one interface (/proc/PID/net/dev).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceCounters {
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

/// Starts and finds supervisors.
#[async_trait]
pub trait SupervisorService: Send + Sync {
    /// Starts a supervisor and waits until its namespaces exist. Until [`Supervisor::commit`] it ends by itself when
    /// this process does.
    ///
    /// # Errors
    /// Whatever kept it from coming up; then nothing of it is left.
    async fn spawn(
        &self,
        call: &Call,
        launch: &SandboxLaunch,
    ) -> Result<(
        Arc<dyn Supervisor>,
        mpsc::UnboundedReceiver<SupervisorEvent>,
    )>;

    /// Reads every supervisor's state file and probes every lock, without taking one. Files, not calls.
    ///
    /// # Errors
    /// Only when the run folder itself cannot be read; a damaged state file is a [`Recovered`] with no tasks.
    async fn recover(&self) -> Result<Vec<Recovered>>;

    /// Kills what is left in the cgroups of a dead supervisor's sandbox and removes its folder, symlink and cgroups.
    ///
    /// # Errors
    /// `Conflict` while the supervisor is alive.
    async fn discard(&self, call: &Call, id: &SandboxId, cgroup: &str) -> Result<()>;
}

/// One live supervisor. Every call may fail with `Unavailable` when it does not answer: that never means "exited".
#[async_trait]
pub trait Supervisor: Send + Sync {
    /// Its process id, for people.
    fn pid(&self) -> i32;
    /// Ends the birth phase: from now on it survives this process.
    async fn commit(&self, call: &Call) -> Result<()>;
    /// The sandbox's network namespace; the caller owns the descriptor. `None` for the host's.
    async fn network_namespace(&self, call: &Call) -> Result<Option<OwnedFd>>;
    /// Opens and holds a listening (TCP) or bound (UDP) socket per published port on the host, so that a conflict is
    /// seen now and stays impossible. `address` may be `0.0.0.0`.
    ///
    /// # Errors
    /// `Conflict` naming the address and port that is taken.
    async fn hold_ports(&self, call: &Call, ports: &[crate::network::PublishedPort]) -> Result<()>;
    /// Makes a container: root file system, namespaces, cgroup; its process is blocked before exec.
    async fn create(&self, call: &Call, launch: &ContainerLaunch) -> Result<i32>;
    /// Lets a made container go; returns when exec has succeeded.
    ///
    /// # Errors
    /// `CommandNotFound`, `CommandNotExecutable` and the like, naming the thing.
    async fn start(&self, call: &Call, id: &ContainerId) -> Result<Timestamp>;
    /// Sends a signal to the container's first process, or to all in its cgroup.
    async fn kill(&self, call: &Call, id: &ContainerId, signal: i32, all: bool) -> Result<()>;
    /// Freezes or thaws.
    async fn set_paused(&self, call: &Call, id: &ContainerId, paused: bool) -> Result<()>;
    /// Forgets an ended (or never started: kills first) container, its cgroup and mounts; acknowledged when its
    /// snapshot may be removed.
    async fn delete(&self, call: &Call, id: &ContainerId) -> Result<()>;
    /// Makes an exec whose process is blocked before its own exec.
    async fn exec_create(&self, call: &Call, launch: &ExecLaunch) -> Result<()>;
    /// Lets an exec go; answers its pid.
    async fn exec_start(&self, call: &Call, id: &ExecId) -> Result<i32>;
    /// Attaches to a made or running process. Attached before start misses nothing.
    async fn attach(
        &self,
        call: &Call,
        target: &Target,
        streams: AttachStreams,
    ) -> Result<Attached>;
    /// Sets the terminal's size.
    async fn resize(&self, call: &Call, target: &Target, size: WindowSize) -> Result<()>;
    /// Closes stdin explicitly.
    async fn close_stdin(&self, call: &Call, target: &Target) -> Result<()>;
    /// Opens the log file anew; it exists when this returns.
    async fn reopen_log(&self, call: &Call, id: &ContainerId) -> Result<()>;
    /// Process ids (on the host) of all in the container's cgroup, execs included.
    async fn processes(&self, call: &Call, id: &ContainerId) -> Result<Vec<i32>>;
    /// Changes the limits of a made or running container; fields that are `None` or 0 stay as they are.
    ///
    /// # Errors
    /// What the kernel refuses, naming the limit; those before it are set back.
    async fn update(
        &self,
        call: &Call,
        id: &ContainerId,
        resources: &crate::container::Resources,
    ) -> Result<()>;
    /// Reads the cgroup.
    async fn stats(&self, call: &Call, id: &ContainerId) -> Result<Stats>;
    /// Ends the supervisor: kills what still runs, drops namespaces and ports, removes its cgroups and folder.
    async fn shutdown(&self, call: &Call) -> Result<()>;
}
