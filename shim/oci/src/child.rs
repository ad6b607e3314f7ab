//! The child's side of a launch: from the clone to exec, in the only order that works.
//!
//! ```text
//!  close the caller's descriptors → own cgroup → cgroup namespace → joined namespaces
//!  → root from detached mounts → mounts, devices, sysctls, masks → host name → terminal → pivot
//!  → limits → user → directory → command found → READY … go → filter → capabilities → exec
//! ```
//!
//! Everything here runs in a copy of a single-threaded caller: it may allocate, and it never returns into the
//! caller's code. Nothing it opens is inherited by the command.

mod cgroupfs;
mod command;
pub(crate) mod credentials;
mod devices;
pub(crate) mod identity;
mod masks;
mod mounts;
mod options;
mod process;
mod report;
pub(crate) mod rootfs;
mod sysctl;
mod terminal;

use crate::create::{namespace_path, open_namespace};
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::launch::{ExecLaunch, Launch, Stdio};
use gantry_sys::cgroup::{Group, Version};
use gantry_sys::{namespace, process as sys_process};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
pub(crate) use process::check as check_process;
use report::Report;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What the parent checks before it clones: mistakes of the configuration cost no process.
pub(crate) fn check(launch: &Launch<'_>) -> Result<()> {
    let process = launch
        .spec
        .process()
        .as_ref()
        .ok_or_else(|| LaunchError::spec("the configuration has no process"))?;
    process::check(process)?;
    let linux = launch.spec.linux().as_ref();
    let mapped = linux.is_some_and(|l| l.uid_mappings().as_ref().is_some_and(|m| !m.is_empty()));
    if mapped {
        return Err(LaunchError::unsupported(
            "user namespaces are not supported yet",
        ));
    }
    if linux.is_some_and(|l| l.intel_rdt().is_some() || l.personality().is_some()) {
        return Err(LaunchError::unsupported(
            "intelRdt and personality are not supported",
        ));
    }
    if launch
        .spec
        .hooks()
        .as_ref()
        .is_some_and(|h| *h != oci_spec::runtime::Hooks::default())
    {
        return Err(LaunchError::unsupported("hooks are not supported yet"));
    }
    Ok(())
}

/// The container's first process. `flags` are the namespaces it was cloned into.
pub(crate) fn run_container(
    launch: &Launch<'_>,
    flags: i32,
    in_group: bool,
    report: &OwnedFd,
) -> ! {
    let report = Report::new(report);
    let Err(failed) = container(launch, flags, in_group, &report);
    report.fail(&failed)
}

/// One more process of a container.
pub(crate) fn run_exec(launch: &ExecLaunch<'_>, in_group: bool, report: &OwnedFd) -> ! {
    let report = Report::new(report);
    let Err(failed) = additional(launch, in_group, &report);
    report.fail(&failed)
}

fn container(
    launch: &Launch<'_>,
    flags: i32,
    in_group: bool,
    report: &Report<'_>,
) -> Result<Infallible> {
    let join = &launch.join;
    begin(
        launch.stdio,
        report,
        &[join.net, join.ipc, join.uts, join.pid],
    )?;
    let process = launch
        .spec
        .process()
        .as_ref()
        .ok_or_else(|| LaunchError::spec("no process"))?;
    process::adjust_oom_score(process);
    if launch.cgroup.external {
        report.ask_for_placement()?;
    } else if let Some(group) = launch.cgroup.group
        && !in_group
    {
        enter_group(group, launch.spec)?;
    }
    let flags = flags | enter_namespaces(launch)?;
    sys_process::new_session_keyring();
    if flags & namespace::NET != 0 {
        raise_loopback()?;
    }
    // Modes given below are meant as they are.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let root = rootfs::build(launch, flags)?;
    set_names(launch, flags)?;
    let cwd = process.cwd().clone();
    process::make_directory(&root.fd, &cwd)?;
    let console = match launch.stdio {
        Stdio::Terminal { rows, cols } => Some(terminal::open(&root.fd, rows, cols, true)?),
        _ => None,
    };
    rootfs::enter(&root, launch.spec)?;
    let seccomp = launch
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.seccomp().as_ref());
    let fds = [Some(root.fd.as_fd()), console.as_ref().map(AsFd::as_fd)];
    process::execute(process, seccomp, &root.fd, report, fds)
}

fn additional(launch: &ExecLaunch<'_>, in_group: bool, report: &Report<'_>) -> Result<Infallible> {
    begin(launch.stdio, report, &[Some(launch.target)])?;
    // From here to exec the container's processes can see this one: nothing of ours may be read through /proc.
    sys_process::set_undumpable()?;
    process::adjust_oom_score(launch.process);
    if let Some(group) = launch.group
        && !in_group
    {
        group.create().kind(FailureKind::Cgroup)?;
        group.attach_self().kind(FailureKind::Cgroup)?;
    }
    sys_process::new_session_keyring();
    let all =
        namespace::MOUNT | namespace::UTS | namespace::IPC | namespace::NET | namespace::CGROUP;
    namespace::enter(launch.target, all).map_err(|e| {
        let errno = e.errno();
        let gone = errno == gantry_sys::Errno::ESRCH;
        let kind = if gone {
            FailureKind::Gone
        } else {
            FailureKind::Namespace
        };
        LaunchError {
            kind,
            message: e.within("enter container").to_string(),
            errno: errno as i32,
        }
    })?;
    let root = std::fs::File::open("/")
        .map_err(|e| gantry_sys::Error::from_io("open container's root", &e))?;
    let root = OwnedFd::from(root);
    let console = match launch.stdio {
        Stdio::Terminal { rows, cols } => Some(terminal::open(&root, rows, cols, false)?),
        _ => None,
    };
    process::execute(
        launch.process,
        launch.seccomp,
        &root,
        report,
        [None, console.as_ref().map(AsFd::as_fd)],
    )
}

/// Lets go of what belongs to the caller and takes the standard streams.
fn begin(stdio: Stdio<'_>, report: &Report<'_>, keep: &[Option<BorrowedFd<'_>>]) -> Result<()> {
    let mut wanted: Vec<i32> = keep.iter().flatten().map(AsRawFd::as_raw_fd).collect();
    wanted.push(report.raw());
    if let Stdio::Streams(streams) = stdio {
        wanted.extend(streams.iter().map(AsRawFd::as_raw_fd));
    }
    sys_process::close_all_but(&wanted)?;
    sys_process::reset_signals()?;
    if let Stdio::Streams(streams) = stdio {
        sys_process::set_stdio(streams)?;
    }
    if !matches!(stdio, Stdio::Inherit) {
        // Fails only for a process that leads a group already, which a fresh child does not.
        let _ = nix::unistd::setsid();
    }
    Ok(())
}

fn enter_group(group: &Group, spec: &Spec) -> Result<()> {
    let limits = crate::limits(spec)?;
    group.create().kind(FailureKind::Cgroup)?;
    if group.version() == Version::V1 {
        crate::resources::apply(group, &limits)?;
        return group.attach_self().kind(FailureKind::Cgroup);
    }
    group.attach_self().kind(FailureKind::Cgroup)?;
    crate::resources::apply(group, &limits)
}

/// Enters what is joined and makes the cgroup namespace, whose root is the group just entered. Answers which
/// namespaces were made here.
fn enter_namespaces(launch: &Launch<'_>) -> Result<i32> {
    let mut made = 0;
    let has = |kind| {
        let list = launch
            .spec
            .linux()
            .as_ref()
            .and_then(|l| l.namespaces().as_ref());
        list.into_iter().flatten().any(|n| n.typ() == kind)
    };
    if has(LinuxNamespaceType::Cgroup) {
        match namespace_path(launch.spec, LinuxNamespaceType::Cgroup) {
            Some(path) => namespace::enter(open_namespace(path)?, namespace::CGROUP)
                .kind(FailureKind::Namespace)?,
            None => {
                namespace::unshare(namespace::CGROUP).kind(FailureKind::Namespace)?;
                made = namespace::CGROUP;
            }
        }
    }
    let joins = [
        (launch.join.ipc, namespace::IPC, LinuxNamespaceType::Ipc),
        (launch.join.uts, namespace::UTS, LinuxNamespaceType::Uts),
        (launch.join.net, namespace::NET, LinuxNamespaceType::Network),
    ];
    for (fd, flag, kind) in joins {
        if let Some(fd) = fd {
            namespace::enter(fd, flag).kind(FailureKind::Namespace)?;
        } else if let Some(path) = namespace_path(launch.spec, kind) {
            namespace::enter(open_namespace(path)?, flag).kind(FailureKind::Namespace)?;
        }
    }
    Ok(made)
}

/// A fresh network namespace has a loopback interface that is down.
fn raise_loopback() -> Result<()> {
    use gantry_sys::netlink::{Batch, Protocol, Socket, set_up};
    let run = || {
        let mut batch = Batch::new();
        set_up(&mut batch, "lo");
        Socket::open(Protocol::Route)?.execute(batch)
    };
    run().map_err(|e| LaunchError::new(FailureKind::Namespace, format!("bring lo up: {e}")))
}

fn set_names(launch: &Launch<'_>, flags: i32) -> Result<()> {
    if flags & namespace::UTS == 0 {
        return Ok(());
    }
    if let Some(name) = launch.spec.hostname().as_ref().filter(|n| !n.is_empty()) {
        nix::unistd::sethostname(name)
            .map_err(|e| gantry_sys::Error::new(format!("set host name {name:?}"), e))?;
    }
    if let Some(name) = launch.spec.domainname().as_ref().filter(|n| !n.is_empty()) {
        gantry_sys::process::set_domain_name(name)?;
    }
    Ok(())
}
