//! A container's first process: cloned into its namespaces, made by [`crate::child`], blocked until told to go.

use crate::child;
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::launch::Launch;
use crate::pending::Pending;
use gantry_sys::namespace::{self, Forked};
use gantry_sys::process;
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Clones the first process of a container and returns at once.
///
/// # Errors
/// A configuration that cannot be right, or a clone that failed. Everything later comes from [`Pending::poll`].
pub fn create(launch: &Launch<'_>) -> std::result::Result<Pending, LaunchError> {
    child::check(launch)?;
    let cgroup = prepare_group(launch)?;
    let (ours, theirs) = report_pair()?;
    let flags = own_namespaces(launch)?;
    let pid_path = namespace_path(launch.spec, LinuxNamespaceType::Pid)
        .map(open_namespace)
        .transpose()?;
    let join_pid = launch.join.pid.or(pid_path.as_ref().map(AsFd::as_fd));
    gantry_fault::point("oci.create.before-clone")?;
    let forked = fork_into(
        join_pid,
        namespace::PID,
        flags,
        cgroup.as_ref().map(AsFd::as_fd),
    )?;
    match forked {
        Forked::Child => child::run_container(launch, flags, cgroup.is_some(), &theirs),
        Forked::Parent(pid, pidfd) => {
            gantry_fault::pass("oci.create.after-clone");
            Ok(Pending::new(pid, pidfd, ours))
        }
    }
}

/// On v2 the group must be there before the clone; on v1 the child makes and enters it, off the caller's path.
fn prepare_group(launch: &Launch<'_>) -> Result<Option<OwnedFd>> {
    let Some(group) = launch.cgroup.group else {
        return Ok(None);
    };
    if group.version() == gantry_sys::cgroup::Version::V1 || launch.cgroup.external {
        return Ok(None);
    }
    group.create().kind(FailureKind::Cgroup)?;
    crate::resources::apply(group, &crate::limits(launch.spec)?)?;
    group.open_v2().kind(FailureKind::Cgroup)
}

/// A seqpacket pair: our end non-blocking, the child's blocking.
pub(crate) fn report_pair() -> Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    let (ours, theirs) = pair.map_err(|e| gantry_sys::Error::new("make report socket", e))?;
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&ours, flags)
        .map_err(|e| gantry_sys::Error::new("set report socket non-blocking", e))?;
    Ok((ours, theirs))
}

/// Forks with `flags`; with `pid` the child is born in that PID namespace, and the caller's own births are set back
/// to its own namespace afterwards.
pub(crate) fn fork_into(
    pid: Option<BorrowedFd<'_>>,
    kind: i32,
    flags: i32,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Forked> {
    let back = match pid {
        Some(fd) => {
            let own = namespace::own(namespace::PID).kind(FailureKind::Namespace)?;
            namespace::enter(fd, kind).kind(FailureKind::Namespace)?;
            Some(own)
        }
        None => None,
    };
    let forked = namespace::fork(flags, cgroup).kind(FailureKind::Namespace);
    if let (Some(own), Ok(Forked::Parent(..)) | Err(_)) = (&back, &forked)
        && let Err(e) = namespace::enter(own, namespace::PID)
    {
        if let Ok(Forked::Parent(_, pidfd)) = &forked {
            let _ = process::pidfd_send_signal(pidfd, libc::SIGKILL);
        }
        return Err(e.within("return to own PID namespace").into());
    }
    forked
}

/// Which namespaces the clone makes. The cgroup namespace is made later, from inside the container's group.
fn own_namespaces(launch: &Launch<'_>) -> Result<i32> {
    let mut flags = namespace::MOUNT;
    let list = launch
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.namespaces().as_ref());
    for item in list.into_iter().flatten() {
        let (flag, joined) = match item.typ() {
            LinuxNamespaceType::Mount if item.path().is_some() => {
                return Err(LaunchError::unsupported(
                    "joining a mount namespace by path",
                ));
            }
            LinuxNamespaceType::Network => (namespace::NET, launch.join.net),
            LinuxNamespaceType::Ipc => (namespace::IPC, launch.join.ipc),
            LinuxNamespaceType::Uts => (namespace::UTS, launch.join.uts),
            LinuxNamespaceType::Pid => (namespace::PID, launch.join.pid),
            LinuxNamespaceType::User => return Err(LaunchError::unsupported("user namespaces")),
            LinuxNamespaceType::Time => return Err(LaunchError::unsupported("time namespaces")),
            LinuxNamespaceType::Mount | LinuxNamespaceType::Cgroup => continue,
        };
        if joined.is_none() && item.path().is_none() {
            flags |= flag;
        }
    }
    Ok(flags)
}

/// The path a configuration gives for one kind of namespace.
pub(crate) fn namespace_path(spec: &Spec, kind: LinuxNamespaceType) -> Option<&std::path::Path> {
    let list = spec
        .linux()
        .as_ref()
        .and_then(|l| l.namespaces().as_ref())?;
    list.iter()
        .find(|n| n.typ() == kind)
        .and_then(|n| n.path().as_deref())
}

pub(crate) fn open_namespace(path: &std::path::Path) -> Result<OwnedFd> {
    namespace::open_path(&path.to_string_lossy()).kind(FailureKind::Namespace)
}
