//! One more process in a running container.

use crate::child;
use crate::create::{fork_into, report_pair};
use crate::error::{FailureKind, Kind, LaunchError};
use crate::launch::ExecLaunch;
use crate::pending::Pending;
use gantry_sys::cgroup::Version;
use gantry_sys::namespace::{self, Forked};
use gantry_sys::process;
use std::os::fd::AsFd;

/// Clones a process into the container's PID namespace and returns at once; the child enters the other namespaces.
///
/// # Errors
/// `Gone` when the container has ended; a clone that failed. Everything later comes from [`Pending::poll`].
pub fn exec(launch: &ExecLaunch<'_>) -> std::result::Result<Pending, LaunchError> {
    child::check_process(launch.process)?;
    let cgroup = match launch.group {
        Some(group) if group.version() == Version::V2 => {
            group.create().kind(FailureKind::Cgroup)?;
            group.open_v2().kind(FailureKind::Cgroup)?
        }
        _ => None,
    };
    let (ours, theirs) = report_pair()?;
    gantry_fault::point("oci.exec.before-clone")?;
    let forked = fork_into(
        Some(launch.target),
        namespace::PID,
        0,
        cgroup.as_ref().map(AsFd::as_fd),
    );
    // A PID namespace whose first process has ended takes no more, and says so as if memory were short.
    let ended = |e: &LaunchError| {
        e.errno == libc::ESRCH || (e.errno == libc::ENOMEM && process::has_ended(launch.target))
    };
    match forked.map_err(|e| if ended(&e) { gone(e) } else { e })? {
        Forked::Child => child::run_exec(launch, cgroup.is_some(), &theirs),
        Forked::Parent(pid, pidfd) => {
            gantry_fault::pass("oci.exec.after-clone");
            Ok(Pending::new(pid, pidfd, ours))
        }
    }
}

fn gone(error: LaunchError) -> LaunchError {
    LaunchError {
        kind: FailureKind::Gone,
        message: "container has ended".into(),
        ..error
    }
}
