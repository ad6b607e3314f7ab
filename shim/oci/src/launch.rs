//! What a caller says to start a container or an exec. Everything is borrowed for the call only.

use gantry_sys::cgroup::{Group, Hierarchies};
use oci_spec::runtime::{LinuxSeccomp, Process, Spec};
use serde::{Deserialize, Serialize};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// A container to be made.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Its id, for names and messages.
    pub id: &'a str,
    /// Its runtime-spec configuration. Hooks up to the start are run here; `poststart` and `poststop` belong to whoever
    /// knows of those moments ([`crate::hooks::run_all`]). `root.path` is not used, `root.readonly` is.
    /// `process.user.username`, when
    /// set, is resolved inside the root as `user[:group]` and wins over the numbers; after a `;` may follow, separated
    /// by commas, `gid=N` (primary group), `!` (none of the image's groups) and more groups by name or number.
    pub spec: &'a Spec,
    /// Folder of the configuration, as hooks are told.
    pub bundle: &'a Path,
    /// Where its root comes from.
    pub rootfs: Rootfs<'a>,
    /// Its standard streams.
    pub stdio: Stdio<'a>,
    /// Namespaces it enters instead of having its own.
    pub join: Join<'a>,
    /// Where it is placed.
    pub cgroup: Placement<'a>,
}

/// Where a root file system comes from.
#[derive(Debug, Clone, Copy)]
pub enum Rootfs<'a> {
    /// A directory of the host, bound (with what is mounted below it).
    Dir(&'a Path),
    /// Mount descriptions, outermost first; made by the child as detached mounts.
    Mounts(&'a [MountDesc]),
}

/// One mount of a root file system; the same JSON as the model's mount description.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountDesc {
    /// `overlay`, `bind`, `tmpfs`, or a file system type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Source directory or device.
    #[serde(default)]
    pub source: String,
    /// Mount options as in mount(8).
    #[serde(default)]
    pub options: Vec<String>,
    /// Overlay: lower directories, uppermost first.
    #[serde(default)]
    pub lower: Vec<String>,
    /// Overlay: upper directory; empty for a read-only view.
    #[serde(default)]
    pub upper: String,
    /// Overlay: work directory.
    #[serde(default)]
    pub work: String,
}

/// Standard streams.
#[derive(Debug, Clone, Copy)]
pub enum Stdio<'a> {
    /// The caller's own (the command line runner).
    Inherit,
    /// Three descriptors of the caller, copied into the child as 0, 1 and 2.
    Streams([BorrowedFd<'a>; 3]),
    /// A pseudo terminal of the container; its master comes back in [`crate::Ready::console`].
    Terminal {
        /// Rows, 0 for unset.
        rows: u16,
        /// Columns, 0 for unset.
        cols: u16,
    },
}

/// Namespaces to enter. `None` means what the configuration says: one of its own if listed (with a path: that one),
/// the caller's otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct Join<'a> {
    /// User namespace, entered before all others. Those given beside it should belong to it.
    pub user: Option<BorrowedFd<'a>>,
    /// Network namespace.
    pub net: Option<BorrowedFd<'a>>,
    /// IPC namespace.
    pub ipc: Option<BorrowedFd<'a>>,
    /// UTS namespace (the host name is then left as it is).
    pub uts: Option<BorrowedFd<'a>>,
    /// PID namespace.
    pub pid: Option<BorrowedFd<'a>>,
}

/// Where a process is placed.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// The host's hierarchies.
    pub hierarchies: &'a Hierarchies,
    /// The container's group: made, limited as `linux.resources` says, and entered before anything else happens.
    /// `None` leaves the process in the caller's group. Removing it after the exit is the caller's.
    pub group: Option<&'a Group>,
    /// The child stops before it makes its cgroup namespace, until [`crate::Pending::placed`] is called: for a
    /// manager that moves it from outside (systemd).
    pub external: bool,
}

/// One more process in a running container.
#[derive(Debug)]
pub struct ExecLaunch<'a> {
    /// What to run. `user.username` as in [`Launch::spec`].
    pub process: &'a Process,
    /// The container's first process, whose namespaces are entered.
    pub target: BorrowedFd<'a>,
    /// The container's system call filter; the exec gets the same one.
    pub seccomp: Option<&'a LinuxSeccomp>,
    /// Standard streams.
    pub stdio: Stdio<'a>,
    /// The exec's group, usually [`Group::child`] of the container's; made by this call. `None`: the caller's.
    pub group: Option<&'a Group>,
}
