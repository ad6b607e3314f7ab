//! The configuration's mounts, in its order: each made detached, its target opened beneath the root, then attached.

use super::options::Options;
use super::rootfs::{Root, Shift, source_error};
use super::{cgroupfs, copy_up, devices, idmap};
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::launch::Launch;
use crate::users::Maps;
use gantry_sys::beneath::{self, Links};
use gantry_sys::mount::{self, FsContext, NODEV, NOEXEC, NOSUID, Propagation, RDONLY};
use oci_spec::runtime::{Mount, Spec};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Magic number of procfs (linux/magic.h).
const PROC_MAGIC: i64 = 0x9fa0;

/// Files of procfs that may be covered by a bind mount (LXCFS serves them); anything else below /proc is refused,
/// since a fake there would be trusted by whoever writes labels or sysctls later.
const PROC_FILES: [&str; 9] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
];

fn options(m: &Mount) -> Result<Options> {
    Options::parse(m.options().iter().flatten().map(String::as_str))
}

fn is_bind(m: &Mount, o: &Options) -> bool {
    o.bind.is_some() || m.typ().as_deref() == Some("bind")
}

/// Makes the file systems a user namespace may not make for itself, by place in the list; binds are left out.
pub(super) fn make_early(spec: &Spec, maps: &Maps) -> Result<Vec<Option<OwnedFd>>> {
    let one = |m: &Mount| -> Result<Option<OwnedFd>> {
        let o = options(m)?;
        let kind = m.typ().as_deref().unwrap_or("bind");
        if is_bind(m, &o) || matches!(kind, "cgroup" | "cgroup2") {
            return Ok(None);
        }
        let fd = fresh(m, kind, &shifted(&o, maps)?)?;
        // The two whose root is the host's whoever makes them.
        if matches!(kind, "devpts" | "mqueue") {
            let (uid, gid) = (maps.user(0)?, maps.group(0)?);
            let owner = (
                nix::unistd::Uid::from_raw(uid),
                nix::unistd::Gid::from_raw(gid),
            );
            let flags = nix::fcntl::AtFlags::AT_EMPTY_PATH;
            nix::unistd::fchownat(&fd, "", Some(owner.0), Some(owner.1), flags)
                .map_err(|e| gantry_sys::Error::new(format!("own {kind}"), e))
                .kind(FailureKind::Mount)?;
        }
        Ok(Some(fd))
    };
    spec.mounts().iter().flatten().map(one).collect()
}

/// Owners given to a file system are numbers inside.
fn shifted(o: &Options, maps: &Maps) -> Result<Options> {
    let mut made = o.clone();
    for (key, value) in &mut made.data {
        let number = || {
            value
                .parse()
                .map_err(|_| LaunchError::spec(format!("{key}={value}")))
        };
        let outside = match key.as_str() {
            "uid" => maps.user(number()?)?,
            "gid" => maps.group(number()?)?,
            _ => continue,
        };
        *value = outside.to_string();
    }
    Ok(made)
}

/// What was made for one mount beforehand.
struct Made {
    /// Itself.
    mount: Option<OwnedFd>,
    /// Whose ids its owners are mapped to.
    users: Option<OwnedFd>,
}

/// The same for all, by place in the list.
pub(super) struct Early {
    pub(super) mounts: Vec<Option<OwnedFd>>,
    pub(super) users: Vec<Option<OwnedFd>>,
}

/// Clones what is bound as a peer of the host's and lies on a shared `/`, which stops to be one when the root is put
/// upon it. Others are cloned in their turn: mountinfo is in the order of making.
pub(super) fn clone_shared(spec: &Spec) -> Result<Vec<Option<OwnedFd>>> {
    let one = |m: &Mount| -> Result<Option<OwnedFd>> {
        let o = options(m)?;
        let shared = matches!(o.propagation, Some((Propagation::Shared, _)));
        if is_bind(m, &o) && shared && root_is_shared()? {
            bind_source(m, &o).map(Some)
        } else {
            Ok(None)
        }
    };
    spec.mounts().iter().flatten().map(one).collect()
}

fn root_is_shared() -> Result<bool> {
    let text = std::fs::read_to_string("/proc/self/mountinfo");
    let text = text.map_err(|e| gantry_sys::Error::from_io("read mountinfo", &e))?;
    let mut roots = text.lines().filter(|l| l.split(' ').nth(4) == Some("/"));
    // Optional fields stand before the dash.
    Ok(roots.any(|l| {
        l.split(" - ")
            .next()
            .is_some_and(|l| l.contains(" shared:"))
    }))
}

/// Makes and attaches all of them, and the devices.
pub(super) fn apply(
    launch: &Launch<'_>,
    root: &mut Root,
    flags: i32,
    early: Early,
    shift: Option<&Shift>,
) -> Result<()> {
    let (mut early, mut users) = (early.mounts.into_iter(), early.users.into_iter());
    let mut has_dev = false;
    for m in launch.spec.mounts().iter().flatten() {
        let made = Made {
            mount: early.next().flatten(),
            users: users.next().flatten(),
        };
        has_dev |= m.destination() == Path::new("/dev");
        let dest = m.destination().display().to_string();
        one(launch, root, m, made, flags, shift).map_err(|e| LaunchError {
            kind: if e.kind == FailureKind::System {
                FailureKind::Mount
            } else {
                e.kind
            },
            message: format!("mount {dest}: {}", e.message),
            ..e
        })?;
    }
    if !has_dev {
        let dev = beneath::mkdir_all(&root.fd, Path::new("/dev"), 0o755, Links::Refuse)
            .kind(FailureKind::Mount)?;
        devices::fill(&dev)?;
    }
    devices::extra(launch.spec, &root.fd, shift.map(|s| &s.maps))
}

fn one(
    launch: &Launch<'_>,
    root: &mut Root,
    m: &Mount,
    made: Made,
    flags: i32,
    shift: Option<&Shift>,
) -> Result<()> {
    let o = options(m)?;
    let kind = m.typ().as_deref().unwrap_or("bind");
    if is_bind(m, &o) {
        let fd = match made.mount {
            Some(fd) => fd,
            None => bind_source(m, &o)?,
        };
        let target = bind_target(root, m, &fd)?;
        idmap::apply(&fd, made.users, &o, shift)?;
        change(&fd, &o)?;
        return attach(&fd, &target);
    }
    if kind == "cgroup" || kind == "cgroup2" {
        return cgroupfs::mount(launch, root, m.destination(), o.set, flags);
    }
    let fd = match made.mount {
        Some(fd) => fd,
        None => fresh(m, kind, &o)?,
    };
    idmap::apply(&fd, made.users, &o, shift)?;
    let dest = m.destination();
    let is_dev = dest == Path::new("/dev");
    // A symlink in an image must not send the kernel's own file systems elsewhere.
    let links = if is_dev || matches!(kind, "proc" | "sysfs") {
        Links::Refuse
    } else {
        Links::InRoot
    };
    let target = beneath::mkdir_all(&root.fd, dest, 0o755, links)?;
    if kind == "proc" {
        root.proc = Some(
            fd.try_clone()
                .map_err(|e| gantry_sys::Error::from_io("keep procfs", &e))?,
        );
    } else {
        refuse_inside_proc(&target, dest)?;
    }
    if o.copy_up {
        copy_up::fill(&target, &fd, kind)?;
    }
    if is_dev {
        devices::fill(&fd)?;
    }
    // Filled first.
    if o.set & RDONLY != 0 && (is_dev || o.copy_up) {
        mount::set_attr(&fd, RDONLY, 0, false)?;
    }
    attach(&fd, &target)?;
    if o.set_recursive | o.clear_recursive != 0 {
        mount::set_attr(&fd, o.set_recursive, o.clear_recursive, true)?;
    }
    if let Some((how, recursive)) = o.propagation {
        mount::set_propagation(&fd, how, recursive)?;
    }
    Ok(())
}

/// A file system of the configuration's list, detached. What is to be filled is not read-only yet.
fn fresh(m: &Mount, kind: &str, o: &Options) -> Result<OwnedFd> {
    let source = m
        .source()
        .as_ref()
        .map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    // None of the kernel's own file systems ever needs these, whatever a configuration forgets to say.
    let always = if matches!(kind, "proc" | "sysfs" | "mqueue") {
        NOSUID | NODEV | NOEXEC
    } else {
        0
    };
    let filled = m.destination() == Path::new("/dev") || o.copy_up;
    let set = (o.set | always) & if filled { !RDONLY } else { !0 };
    let o = Options { set, ..o.clone() };
    file_system(kind, &source, &o)
}

fn attach(fd: &OwnedFd, target: &OwnedFd) -> Result<()> {
    mount::attach(fd, target).kind(FailureKind::Mount)
}

fn bind_source(m: &Mount, o: &Options) -> Result<OwnedFd> {
    let source = m
        .source()
        .as_deref()
        .ok_or_else(|| LaunchError::spec("a bind mount without a source"))?;
    if !source.is_absolute() {
        return Err(LaunchError::spec(format!(
            "bind source {} is not absolute",
            source.display()
        )));
    }
    mount::open_tree_host(source, o.bind.unwrap_or(true)).map_err(|e| source_error(&e, source))
}

/// The place a bind goes to, made as what its source is.
fn bind_target(root: &Root, m: &Mount, source: &OwnedFd) -> Result<OwnedFd> {
    let stat = nix::sys::stat::fstat(source)
        .map_err(|e| gantry_sys::Error::new("look at bind source", e))?;
    let dest = m.destination();
    let target = if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
        beneath::mkdir_all(&root.fd, dest, 0o755, Links::InRoot)?
    } else {
        beneath::touch(&root.fd, dest, 0o644, Links::InRoot)?
    };
    refuse_inside_proc(&target, dest)?;
    Ok(target)
}

/// Asked of the opened target and not of its name, which a symlink may disguise.
fn refuse_inside_proc(target: &OwnedFd, dest: &Path) -> Result<()> {
    let fs = nix::sys::statfs::fstatfs(target)
        .map_err(|e| gantry_sys::Error::new("look at mount target", e))?;
    if fs.filesystem_type().0 != PROC_MAGIC {
        return Ok(());
    }
    let allowed = PROC_FILES
        .iter()
        .any(|f| dest == Path::new("/proc").join(f));
    if allowed {
        Ok(())
    } else {
        Err(LaunchError::spec("it lies inside procfs"))
    }
}

/// Attributes and propagation of a bound tree. Without a wish it is cut off from the host, submounts too.
pub(super) fn change(fd: &OwnedFd, o: &Options) -> Result<()> {
    let (how, recursive) = o.propagation.unwrap_or((Propagation::Private, true));
    mount::set_propagation(fd.as_fd(), how, recursive).kind(FailureKind::Mount)?;
    if o.set | o.clear != 0 {
        mount::set_attr(fd, o.set, o.clear & !o.set, false).kind(FailureKind::Mount)?;
    }
    if o.set_recursive | o.clear_recursive != 0 {
        mount::set_attr(fd, o.set_recursive, o.clear_recursive, true).kind(FailureKind::Mount)?;
    }
    Ok(())
}

/// A new file system, detached.
pub(super) fn file_system(kind: &str, source: &str, o: &Options) -> Result<OwnedFd> {
    let context = FsContext::open(kind).kind(FailureKind::Mount)?;
    context
        .set("source", if source.is_empty() { kind } else { source })
        .kind(FailureKind::Mount)?;
    for (key, value) in o.data.iter().filter(|(k, _)| k != "newinstance") {
        let done = if value.is_empty() {
            context.set_flag(key)
        } else {
            context.set(key, value)
        };
        done.kind(FailureKind::Mount)?;
    }
    context.mount(o.set).kind(FailureKind::Mount)
}
