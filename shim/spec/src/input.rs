//! What a configuration is made from.

use gantry_model::container::{Container, UserSpec};
use gantry_model::image::ImageConfig;
use gantry_model::supervisor::{NamespaceMode, PidMode};

/// A mount of a host path into the container: volumes, bind mounts, /etc/hosts and the like; or a tmpfs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// `bind`, `tmpfs`, or a file system type a volume driver named.
    pub kind: String,
    /// Host path (bind) or source.
    pub source: String,
    /// Absolute path inside.
    pub target: String,
    /// Options as in mount(8): `rbind`, `ro`, `rprivate`….
    pub options: Vec<String>,
}

/// What the host can do, found at start-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Capabilities this process may pass on (bit set of CAP_*).
    pub capabilities: u64,
    /// cgroup version: 1 (hybrid) or 2.
    pub cgroup_version: u8,
}

/// Everything one container's configuration depends on.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The container.
    pub container: &'a Container,
    /// How its image says to run it.
    pub image: &'a ImageConfig,
    /// Host name inside; also goes into the environment as HOSTNAME.
    pub hostname: &'a str,
    /// Network of its sandbox.
    pub network: NamespaceMode,
    /// IPC of its sandbox.
    pub ipc: NamespaceMode,
    /// UTS of its sandbox.
    pub uts: NamespaceMode,
    /// PIDs of its sandbox.
    pub pid: PidMode,
    /// Volumes, bind mounts and files, in order.
    pub binds: &'a [Bind],
    /// Host.
    pub host: HostFacts,
}

/// What an exec asks for.
#[derive(Clone, Debug, Default)]
pub struct ExecInput<'a> {
    /// Program and arguments.
    pub command: &'a [String],
    /// Added to the container's environment.
    pub env: &'a [String],
    /// Empty: the container's.
    pub cwd: &'a str,
    /// `None`: the container's.
    pub user: Option<&'a UserSpec>,
    /// All capabilities.
    pub privileged: bool,
    /// Has a terminal.
    pub terminal: bool,
}
