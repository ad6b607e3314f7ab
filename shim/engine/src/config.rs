//! What the daemon tells the engine at its start.

use std::path::PathBuf;

use gantry_model::handler::Handler;

/// Settings of one instance.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Instance name; names of bridges, links, tables and cgroups derive from it.
    pub instance: String,
    /// Random id of the instance, kept in its root.
    pub random_id: String,
    /// Id of the machine's present boot (/proc/sys/kernel/random/boot_id).
    pub boot_id: String,
    /// Root folder.
    pub root: PathBuf,
    /// Run folder.
    pub run: PathBuf,
    /// Snapshotter for new images and containers.
    pub snapshotter: String,
    /// Network driver of the predefined network `bridge`, and the network pods join.
    pub default_network: String,
    /// Default cgroup parent, without a leading slash.
    pub cgroup_parent: String,
    /// Handlers configured besides the built-in one.
    pub handlers: Vec<Handler>,
    /// cgroup driver name for clients: `cgroupfs` or `systemd`.
    pub cgroup_driver: String,
    /// Capabilities this process may pass on, as a bit set.
    pub capabilities: u64,
    /// Bytes of memory of the host.
    pub memory_total: u64,
    /// Processors online.
    pub cpus: u32,
    /// 1 (hybrid) or 2.
    pub cgroup_version: u8,
}
