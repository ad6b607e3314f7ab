//! A container's first process: cloned into its namespaces, made by [`crate::child`], blocked until told to go.

use crate::child;
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::hooks;
use crate::launch::Launch;
use crate::pending::Pending;
use crate::users::Users;
use gantry_sys::namespace::{self, Forked};
use gantry_sys::{fdpass, process};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Clones the first process of a container and returns at once.
///
/// # Errors
/// A configuration that cannot be right, or a clone that failed. Everything later comes from [`Pending::poll`].
pub fn create(launch: &Launch<'_>) -> std::result::Result<Pending, LaunchError> {
    child::check(launch)?;
    let users = Users::of(launch)?;
    let cgroup = prepare_group(launch)?;
    let (ours, theirs) = report_pair()?;
    let runner = hooks::needs_runner(launch.spec.hooks().as_ref())
        .then(blocking_pair)
        .transpose()?;
    let flags = own_namespaces(launch)?;
    let pid_path = namespace_path(launch.spec, LinuxNamespaceType::Pid)
        .map(open_namespace)
        .transpose()?;
    let join_pid = launch.join.pid.or(pid_path.as_ref().map(AsFd::as_fd));
    let birth = Birth {
        launch,
        flags,
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        join_pid,
        report: &theirs,
        runner: runner.as_ref().map(|(_, theirs)| theirs),
    };
    gantry_fault::point("oci.create.before-clone")?;
    let made = match &users {
        Some(users) => with_builder(&birth, users, ours)?,
        None => match fork_into(join_pid, namespace::PID, flags, birth.cgroup)? {
            Forked::Child => child::run_container(&birth),
            Forked::Parent(pid, pidfd) => Pending::new(pid, pidfd, ours),
        },
    };
    gantry_fault::pass("oci.create.after-clone");
    match runner {
        Some((socket, theirs)) => with_runner(launch, made, &socket, theirs),
        None => Ok(made),
    }
}

/// What the child of a launch starts from.
pub(crate) struct Birth<'a> {
    pub(crate) launch: &'a Launch<'a>,
    /// Namespaces it is to have of its own.
    pub(crate) flags: i32,
    /// The cgroup it is born in (v2).
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    pub(crate) join_pid: Option<BorrowedFd<'a>>,
    pub(crate) report: &'a OwnedFd,
    /// The socket to whoever runs the hooks of the runtime's namespaces.
    pub(crate) runner: Option<&'a OwnedFd>,
}

/// With a user namespace the first process has no power over the host from its birth, so another one, the builder,
/// clones it as its sibling, writes its id maps and makes its mounts.
fn with_builder(birth: &Birth<'_>, users: &Users<'_>, ours: OwnedFd) -> Result<Pending> {
    let (socket, theirs) = blocking_pair()?;
    match namespace::fork(0, None)? {
        Forked::Child => child::run_builder(birth, users, &theirs),
        Forked::Parent(_, builder) => {
            drop(theirs);
            // Comes within the time of a clone: nothing slow happens before.
            let mut buffer = vec![0; crate::pending::PACKET];
            let got = fdpass::recv(&socket, &mut buffer)?;
            let text = &buffer[..got.len];
            match got.fds.into_iter().next() {
                Some(pidfd) => {
                    let pid = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
                    let pid = pid.unwrap_or(0);
                    Ok(Pending::new(pid, pidfd, ours).with_helper(Some(builder)))
                }
                None => {
                    let _ = process::wait(&builder);
                    Err(serde_json::from_slice(text).unwrap_or_else(|_| {
                        LaunchError::new(FailureKind::System, "the container's builder died")
                    }))
                }
            }
        }
    }
}

/// Leaves a process here that runs hooks when the child asks for it.
fn with_runner(
    launch: &Launch<'_>,
    made: Pending,
    socket: &OwnedFd,
    theirs: OwnedFd,
) -> Result<Pending> {
    drop(theirs);
    let forked = namespace::fork(0, None).inspect_err(|_| {
        let _ = process::pidfd_send_signal(&made.pidfd, libc::SIGKILL);
        let _ = process::wait(&made.pidfd);
    })?;
    match forked {
        Forked::Child => {
            let _ = process::close_all_but(&[socket.as_raw_fd()]);
            hooks::serve(launch, made.pid, socket)
        }
        Forked::Parent(_, pidfd) => Ok(made.with_helper(Some(pidfd))),
    }
}

/// A seqpacket pair between two children.
fn blocking_pair() -> Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(|e| gantry_sys::Error::new("make socket pair", e).into())
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
    let (ours, theirs) = blocking_pair()?;
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
    let mut flags = 0;
    let mut seen = Vec::new();
    let list = launch
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.namespaces().as_ref());
    for item in list.into_iter().flatten() {
        if seen.contains(&item.typ()) {
            let twice = format!("namespace {} is listed twice", item.typ());
            return Err(LaunchError::spec(twice));
        }
        seen.push(item.typ());
        let (flag, joined) = match item.typ() {
            LinuxNamespaceType::Mount => (namespace::MOUNT, None),
            LinuxNamespaceType::Network => (namespace::NET, launch.join.net),
            LinuxNamespaceType::Ipc => (namespace::IPC, launch.join.ipc),
            LinuxNamespaceType::Uts => (namespace::UTS, launch.join.uts),
            LinuxNamespaceType::Pid => (namespace::PID, launch.join.pid),
            // Made or entered later, by the child itself.
            LinuxNamespaceType::User | LinuxNamespaceType::Time | LinuxNamespaceType::Cgroup => {
                continue;
            }
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
