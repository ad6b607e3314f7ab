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

mod builder;
mod cgroupfs;
mod clocks;
mod command;
mod copy_up;
pub(crate) mod credentials;
mod devices;
pub(crate) mod identity;
mod idmap;
mod label;
mod listener;
mod masks;
mod mounts;
mod options;
mod priority;
mod process;
mod refused;
mod report;
pub(crate) mod rootfs;
mod sysctl;
mod terminal;

use crate::create::{Birth, namespace_path, open_namespace};
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::launch::{ExecLaunch, Launch, Stdio};
use crate::users::Users;
use gantry_sys::cgroup::{Group, Version};
use gantry_sys::{namespace, process as sys_process};
pub(crate) use label::{has_apparmor, has_selinux};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
pub(crate) use process::check as check_process;
use report::Report;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What the parent checks before it clones: mistakes of the configuration cost no process.
pub(crate) fn check(launch: &Launch<'_>) -> Result<()> {
    if let Some(process) = launch.spec.process() {
        process::check(process)?;
    }
    crate::hooks::check(launch.spec.hooks().as_ref())?;
    refused::check(launch.spec)
}

/// Whether a word is a mount option of the runtime's and not left to the file system.
#[cfg(test)]
pub(crate) fn reads_option(word: &str) -> bool {
    options::Options::parse([word]).is_ok_and(|o| o.data.is_empty())
}

/// The container's first process, in the caller's user namespace.
pub(crate) fn run_container(birth: &Birth<'_>) -> ! {
    let report = Report::new(birth.report);
    let Err(failed) = container(birth, &report);
    report.fail(&failed)
}

/// The process that makes a container's first one in another user namespace, and its mounts.
pub(crate) fn run_builder(birth: &Birth<'_>, users: &Users<'_>, handover: &OwnedFd) -> ! {
    builder::run(birth, users, handover)
}

/// One more process of a container.
pub(crate) fn run_exec(launch: &ExecLaunch<'_>, in_group: bool, report: &OwnedFd) -> ! {
    let report = Report::new(report);
    let Err(failed) = additional(launch, in_group, &report);
    report.fail(&failed)
}

fn container(birth: &Birth<'_>, report: &Report<'_>) -> Result<Infallible> {
    let launch = birth.launch;
    let runner = birth.runner.map(AsFd::as_fd);
    begin(launch.stdio, report, &joined(launch, &[runner]))?;
    prepare(birth)?;
    if launch.cgroup.external {
        report.ask_for_placement()?;
    }
    let flags = birth.flags | enter_namespaces(launch)?;
    settle_namespaces(flags)?;
    let root = rootfs::build(launch, flags, None)?;
    finish(birth, flags, &root.fd, report)
}

/// Descriptors a child needs until its namespaces are entered.
fn joined<'a>(launch: &Launch<'a>, more: &[Option<BorrowedFd<'a>>]) -> Vec<Option<BorrowedFd<'a>>> {
    let join = &launch.join;
    let mut list = vec![join.user, join.net, join.ipc, join.uts, join.pid];
    list.extend_from_slice(more);
    list
}

/// What needs the host's rights: the OOM score, and on v1 the cgroup.
fn prepare(birth: &Birth<'_>) -> Result<()> {
    let launch = birth.launch;
    if let Some(process) = launch.spec.process() {
        process::adjust_oom_score(process);
    }
    match launch.cgroup.group {
        Some(group) if birth.cgroup.is_none() && !launch.cgroup.external => {
            enter_group(group, launch.spec)
        }
        _ => Ok(()),
    }
}

/// What fresh namespaces want before anything is mounted.
fn settle_namespaces(flags: i32) -> Result<()> {
    sys_process::new_session_keyring();
    if flags & namespace::NET != 0 {
        raise_loopback()?;
    }
    // Modes given below are meant as they are.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    Ok(())
}

/// From a made root to the user's program.
fn finish(
    birth: &Birth<'_>,
    flags: i32,
    root: &OwnedFd,
    report: &Report<'_>,
) -> Result<Infallible> {
    let (launch, spec) = (birth.launch, birth.launch.spec);
    set_names(launch, flags)?;
    let process = spec.process().as_ref();
    if let Some(process) = process {
        process::make_directory(root, process.cwd())?;
    }
    let console = match launch.stdio {
        Stdio::Terminal { rows, cols } => Some(terminal::open(root, rows, cols, true)?),
        _ => None,
    };
    if let Some(runner) = birth.runner {
        crate::hooks::ask(runner)?;
    }
    crate::hooks::create_container(launch)?;
    // From here on the host's files are out of reach.
    let linux = spec.linux().as_ref();
    let seccomp = linux.and_then(|l| l.seccomp().as_ref());
    let listener = seccomp.map(listener::Listener::connect).transpose()?;
    if let Some(process) = process {
        label::set(process)?;
    }
    rootfs::enter(root, spec)?;
    let fds = [Some(root.as_fd()), console.as_ref().map(AsFd::as_fd)];
    let Some(process) = process else {
        report.ready(fds, &[])?;
        return Err(LaunchError::spec("the configuration has no process"));
    };
    if let Some(linux) = linux {
        priority::of_container(linux)?;
    }
    let start = process::Start {
        process,
        seccomp,
        listener: listener.flatten(),
        launch: Some(launch),
    };
    process::execute(&start, root, report, fds)
}

fn additional(launch: &ExecLaunch<'_>, in_group: bool, report: &Report<'_>) -> Result<Infallible> {
    begin(launch.stdio, report, &[Some(launch.target)])?;
    priority::on_processors(launch.process, false)?;
    // From here to exec the container's processes can see this one: nothing of ours may be read through /proc.
    sys_process::set_undumpable()?;
    process::adjust_oom_score(launch.process);
    if let Some(group) = launch.group
        && !in_group
    {
        group.create().kind(FailureKind::Cgroup)?;
        group.attach_self().kind(FailureKind::Cgroup)?;
    }
    priority::on_processors(launch.process, true)?;
    sys_process::new_session_keyring();
    let listener = launch
        .seccomp
        .map(listener::Listener::connect)
        .transpose()?;
    label::set(launch.process)?;
    enter_all(launch.target).map_err(|e| {
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
    let start = process::Start {
        process: launch.process,
        seccomp: launch.seccomp,
        listener: listener.flatten(),
        launch: None,
    };
    let fds = [None, console.as_ref().map(AsFd::as_fd)];
    process::execute(&start, &root, report, fds)
}

/// Enters all namespaces of a process but the PID one. The kernel refuses to enter the user namespace one is in, and
/// nothing else tells whether it is another; it has then entered none of them.
fn enter_all(target: BorrowedFd<'_>) -> gantry_sys::Result<()> {
    let all = namespace::MOUNT
        | namespace::UTS
        | namespace::IPC
        | namespace::NET
        | namespace::CGROUP
        | namespace::TIME;
    match namespace::enter(target, all | namespace::USER) {
        Err(e) if e.errno() == gantry_sys::Errno::EINVAL => namespace::enter(target, all),
        other => other,
    }
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
    if let Some(path) = namespace_path(launch.spec, LinuxNamespaceType::Mount) {
        namespace::enter(open_namespace(path)?, namespace::MOUNT).kind(FailureKind::Namespace)?;
    }
    if lists(launch.spec, LinuxNamespaceType::Time) {
        made |= clocks::enter(launch.spec)?;
    }
    if lists(launch.spec, LinuxNamespaceType::Cgroup) {
        match namespace_path(launch.spec, LinuxNamespaceType::Cgroup) {
            Some(path) => namespace::enter(open_namespace(path)?, namespace::CGROUP)
                .kind(FailureKind::Namespace)?,
            None => {
                namespace::unshare(namespace::CGROUP).kind(FailureKind::Namespace)?;
                made |= namespace::CGROUP;
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

/// Whether the configuration lists this kind of namespace.
fn lists(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let list = spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
    list.into_iter().flatten().any(|n| n.typ() == kind)
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
