//! Containers with a user namespace. Their first process has no power over the host from its birth, so two more take
//! part, both gone before the container is ready:
//!
//! ```text
//!  builder (host's rights)        first process (sibling, no rights)      mounter (host's rights, its namespaces)
//!   clones it in its cgroup  →     own user namespace, or enters one
//!   writes its maps         ⇄ m    becomes its root
//!                           ← n    joins and makes the other namespaces
//!   forks the mounter                                                →    makes what may not be made inside,
//!                                                                         enters its mount namespace, mounts
//!                                                                    ← r
//!   sees it end              → g   takes the root, hooks, pivots
//! ```
//!
//! None of them runs anything of the container's.

use super::report::Report;
use super::rootfs::{self, Shift};
use super::{begin, enter_namespaces, finish, joined, lists, mounts, prepare, settle_namespaces};
use crate::create::Birth;
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::users::{Maps, Users};
use gantry_sys::namespace::{self, Forked};
use gantry_sys::{caps, fdpass, process, users};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::LinuxNamespaceType;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The builder's life.
pub(super) fn run(birth: &Birth<'_>, users: &Users<'_>, handover: &OwnedFd) -> ! {
    let (pidfd, socket) = match clone_first(birth, users, handover) {
        Ok(made) => made,
        Err(e) => {
            let _ = fdpass::send(handover, &serde_json::to_vec(&e).unwrap_or_default(), &[]);
            process::exit_now(0)
        }
    };
    let report = Report::new(birth.report);
    match build(birth, users, &pidfd, &socket) {
        Ok(code) => process::exit_now(code),
        // The first process ends when its socket closes, without a word of its own.
        Err(e) => report.fail(&e),
    }
}

/// Clones the container's first process as a sibling and tells the caller who it is.
fn clone_first(
    birth: &Birth<'_>,
    users: &Users<'_>,
    handover: &OwnedFd,
) -> Result<(OwnedFd, OwnedFd)> {
    let launch = birth.launch;
    let runner = birth.runner.map(AsFd::as_fd);
    let mut keep: Vec<i32> = joined(launch, &[runner, users.entered(), birth.join_pid])
        .iter()
        .flatten()
        .map(AsRawFd::as_raw_fd)
        .collect();
    keep.extend([birth.report.as_raw_fd(), handover.as_raw_fd()]);
    keep.extend(birth.cgroup.map(|fd| fd.as_raw_fd()));
    if let crate::Stdio::Streams(streams) = launch.stdio {
        keep.extend(streams.iter().map(AsRawFd::as_raw_fd));
    }
    process::close_all_but(&keep)?;
    process::reset_signals()?;
    prepare(birth)?;
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    let (ours, theirs) = pair.map_err(|e| gantry_sys::Error::new("make socket pair", e))?;
    if let Some(pid) = birth.join_pid {
        namespace::enter(pid, namespace::PID).kind(FailureKind::Namespace)?;
    }
    // Namespaces belong to the user namespace they are made in: with one that is entered they are made after that.
    let flags = match users {
        Users::Own(_) => birth.flags | namespace::USER,
        _ => birth.flags & namespace::PID,
    };
    match namespace::fork_sibling(flags, birth.cgroup).kind(FailureKind::Namespace)? {
        Forked::Child => {
            drop(ours);
            first(birth, users, &theirs)
        }
        Forked::Parent(pid, pidfd) => {
            fdpass::send(handover, pid.to_string().as_bytes(), &[pidfd.as_fd()])?;
            Ok((pidfd, ours))
        }
    }
}

fn build(birth: &Birth<'_>, users: &Users<'_>, first: &OwnedFd, socket: &OwnedFd) -> Result<i32> {
    let folder = hear(socket, b'm')?.pop();
    let folder = folder.ok_or_else(|| gone("no folder"))?;
    let maps = match users {
        Users::Own(maps) => {
            users::write_maps(&folder, &maps.users, &maps.groups).kind(FailureKind::Namespace)?;
            maps.clone()
        }
        _ => read_maps(&folder)?,
    };
    fdpass::send(socket, b"m", &[])?;
    hear(socket, b'n')?;
    let held = open_at(&folder, "ns/user")?;
    // Only a process born there is in a PID namespace, as procfs wants.
    namespace::enter(first, namespace::PID).kind(FailureKind::Namespace)?;
    match namespace::fork(0, None)? {
        Forked::Child => {
            let report = Report::new(birth.report);
            let shift = Shift {
                maps,
                users: held,
                made: Vec::new(),
            };
            match mount_all(birth, first, shift, socket) {
                Ok(()) => process::exit_now(0),
                Err(e) => report.fail(&e),
            }
        }
        Forked::Parent(_, pidfd) => {
            let code = process::wait(&pidfd)?.code();
            if code == 0 {
                // The mounter is gone: nothing of the container's has seen it in its PID namespace.
                fdpass::send(socket, b"g", &[])?;
            }
            Ok(code)
        }
    }
}

/// The mounter's life.
fn mount_all(birth: &Birth<'_>, first: &OwnedFd, mut shift: Shift, socket: &OwnedFd) -> Result<()> {
    // The container's processes, if it joined a PID namespace with others in it, see this one.
    process::set_undumpable()?;
    let launch = birth.launch;
    let others = namespace::NET | namespace::IPC | namespace::UTS | namespace::CGROUP;
    namespace::enter(first, others).kind(FailureKind::Namespace)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    // What is made belongs to the container's root, and its sysctls obey nobody else.
    let (uid, gid) = (shift.maps.user(0)?, shift.maps.group(0)?);
    let become_it = nix::unistd::setegid(Gid::from_raw(gid))
        .and_then(|()| nix::unistd::seteuid(Uid::from_raw(uid)));
    become_it.map_err(|e| gantry_sys::Error::new("take the container's root's ids", e))?;
    // The change takes capabilities out of force.
    let held = caps::get()?;
    caps::set(caps::Caps {
        effective: held.permitted,
        ..held
    })?;
    shift.made = mounts::make_early(launch.spec, &shift.maps)?;
    namespace::enter(first, namespace::MOUNT).kind(FailureKind::Namespace)?;
    let cgroup = lists(launch.spec, LinuxNamespaceType::Cgroup);
    let own = if cgroup { namespace::CGROUP } else { 0 };
    let root = rootfs::build(launch, birth.flags | own, Some(&mut shift))?;
    fdpass::send(socket, b"r", &[root.fd.as_fd()])?;
    Ok(())
}

/// The first process's life.
fn first(birth: &Birth<'_>, users: &Users<'_>, socket: &OwnedFd) -> ! {
    let report = Report::new(birth.report);
    let Err(failed) = contained(birth, users, socket, &report);
    report.fail(&failed)
}

fn contained(
    birth: &Birth<'_>,
    users: &Users<'_>,
    socket: &OwnedFd,
    report: &Report<'_>,
) -> Result<Infallible> {
    let launch = birth.launch;
    let runner = birth.runner.map(AsFd::as_fd);
    let keep = joined(launch, &[runner, users.entered(), Some(socket.as_fd())]);
    begin(launch.stdio, report, &keep)?;
    if let Some(fd) = users.entered() {
        namespace::enter(fd, namespace::USER).kind(FailureKind::Namespace)?;
        become_root()?;
    }
    let folder = users::own_folder()?;
    fdpass::send(socket, b"m", &[folder.as_fd()])?;
    drop(folder);
    hear(socket, b'm')?;
    if users.entered().is_none() {
        become_root()?;
    } else {
        let rest = birth.flags & !namespace::PID;
        namespace::unshare(rest).kind(FailureKind::Namespace)?;
    }
    if launch.cgroup.external {
        report.ask_for_placement()?;
    }
    let flags = birth.flags | enter_namespaces(launch)?;
    settle_namespaces(flags)?;
    fdpass::send(socket, b"n", &[])?;
    let root = hear(socket, b'r')?.pop().ok_or_else(|| gone("no root"))?;
    hear(socket, b'g')?;
    finish(birth, flags, &root, report)
}

fn become_root() -> Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    let set = |e| LaunchError::from(gantry_sys::Error::new("become root of user namespace", e));
    nix::unistd::setgroups(&[]).map_err(set)?;
    nix::unistd::setresgid(gid, gid, gid).map_err(set)?;
    nix::unistd::setresuid(uid, uid, uid).map_err(set)?;
    Ok(())
}

/// The descriptors that come with an expected word. Whoever should say it and is gone has told the caller why.
fn hear(socket: &OwnedFd, word: u8) -> Result<Vec<OwnedFd>> {
    let mut buffer = [0; 4];
    let got = fdpass::recv(socket, &mut buffer)?;
    match buffer[..got.len].first() {
        Some(w) if *w == word => Ok(got.fds),
        Some(_) => Err(gone("unknown word")),
        None => process::exit_now(125),
    }
}

fn gone(why: &str) -> LaunchError {
    LaunchError::new(
        FailureKind::System,
        format!("make a container in a user namespace: {why}"),
    )
}

fn open_at(folder: impl AsFd, name: &str) -> Result<OwnedFd> {
    use nix::fcntl::{OFlag, openat};
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let opened = openat(folder.as_fd(), name, flags, nix::sys::stat::Mode::empty());
    opened.map_err(|e| gantry_sys::Error::new(format!("open {name} of a process"), e).into())
}

fn read_maps(folder: &OwnedFd) -> Result<Maps> {
    let read = |name: &str| -> Result<String> {
        let file = std::fs::File::from(open_at(folder, name)?);
        std::io::read_to_string(file)
            .map_err(|e| gantry_sys::Error::from_io(format!("read {name}"), &e).into())
    };
    Ok(Maps::parse(&read("uid_map")?, &read("gid_map")?))
}
