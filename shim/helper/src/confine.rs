//! What the helper gives up, in two steps: before it opens its trees, and before it reads its input.

use std::path::PathBuf;

use gantry_files::{Error, Result};
use gantry_sys::caps::{self, Caps};
use gantry_sys::process;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

/// Address space: decoder windows (128 MiB for zstd), buffers and paths remembered for whiteouts.
const MEMORY: u64 = 2 << 30;
/// Open descriptors: one for each level of a tree that is removed.
const DESCRIPTORS: u64 = 1024;

/// First step: into the cgroups, no descriptors of others, no core file.
pub(crate) fn enter(cgroups: &[PathBuf]) -> Result<()> {
    for file in cgroups {
        // By itself and before any thread: on cgroup v1 that costs a twentieth of being moved from outside.
        std::fs::write(file, "0")
            .map_err(|e| io(format!("join the cgroup {}", file.display()), e))?;
    }
    process::cloexec_from(3).map_err(sys)?;
    // gantryd may be killed at any moment, and the next one removes what it finds half-made: nobody may still write.
    // (The thread that started us is one of the runtime's, which live as long as gantryd.)
    set_pdeathsig(Signal::SIGKILL).map_err(|e| io("ask to end with gantryd".into(), e.into()))?;
    // Modes come from the archive.
    umask(Mode::empty());
    limit(Resource::RLIMIT_CORE, 0)?;
    limit(Resource::RLIMIT_NOFILE, DESCRIPTORS)?;
    limit(Resource::RLIMIT_AS, MEMORY)
}

/// What placing files with owners, modes, devices and file capabilities takes.
const KEPT: [&str; 6] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "MKNOD",
    "SETFCAP",
];

/// Second step: only what placing files needs, and no way back. Before any thread is made: they inherit.
pub(crate) fn drop_privileges() -> Result<()> {
    let kept = caps::parse(KEPT).map_err(sys)?;
    let held = caps::get().map_err(sys)?;
    caps::set_ambient(0).map_err(sys)?;
    // Without this capability the bounding set can't shrink; it matters only to an exec, and none follows.
    if held.effective & caps::parse(["SETPCAP"]).map_err(sys)? != 0 {
        caps::limit_bounding(kept).map_err(sys)?;
    }
    let permitted = held.permitted & kept;
    caps::set(Caps {
        effective: permitted,
        permitted,
        inheritable: 0,
    })
    .map_err(sys)?;
    process::set_no_new_privs().map_err(sys)?;
    process::set_undumpable().map_err(sys)
}

/// Lowers soft and hard limit together; a host that allows less already is fine.
fn limit(what: Resource, to: u64) -> Result<()> {
    let (_, hard) =
        nix::sys::resource::getrlimit(what).map_err(|e| io(format!("read {what:?}"), e.into()))?;
    let to = to.min(hard);
    setrlimit(what, to, to).map_err(|e| io(format!("set {what:?}"), e.into()))
}

fn io(doing: String, source: std::io::Error) -> Error {
    Error::Io { doing, source }
}

/// An error of a system call, errno kept.
pub(crate) fn sys(e: gantry_sys::Error) -> Error {
    Error::Io {
        doing: e.what().to_owned(),
        source: e.errno().into(),
    }
}
