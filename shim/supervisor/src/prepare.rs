//! The sandbox itself: its namespaces and cgroups, "committed", and its network namespace handed out.

use std::os::fd::{AsRawFd, OwnedFd};

use gantry_supervisor_proto::types::{self as t, Nothing, PidMode};
use gantry_supervisor_proto::{ErrorKind, WireError};
use gantry_sys::cgroup::{Group, Hierarchies};

use crate::failure;
use crate::namespaces;
use crate::pod_init::PodInit;
use crate::supervisor::Supervisor;
use crate::task::Waiter;

type Result<T> = std::result::Result<T, WireError>;

impl Supervisor {
    pub(crate) fn prepare(&mut self, body: t::Prepare) -> Result<()> {
        if self.prepared.is_some() {
            return Err(WireError::new(
                ErrorKind::AlreadyExists,
                "the sandbox is prepared already",
            ));
        }
        let hierarchies = Hierarchies::detect().map_err(failure::sys)?;
        let group = |path: &str, extra: &[&str]| {
            (!path.is_empty())
                .then(|| Group::at(&hierarchies, path, extra))
                .transpose()
                .map_err(|e| WireError::invalid(e.to_string()))
        };
        // The sandbox's is only ever removed, with all that a container's limits have added, at its start or later.
        self.sandbox = group(&body.cgroup, &["cpuset", "hugetlb"])?;
        self.own = group(&body.own_cgroup, &[])?;
        self.must_move = self.own.is_some();
        self.hierarchies = Some(hierarchies);
        gantry_fault::point("supervisor.prepare.before-namespaces").map_err(failure::injected)?;
        self.namespaces = namespaces::make(&body)?;
        gantry_fault::point("supervisor.prepare.after-namespaces").map_err(failure::injected)?;
        if body.pid == PidMode::Pod {
            // It is born where we are.
            self.move_to_own_group();
            self.pod_init = Some(PodInit::start(&self.namespaces)?);
        }
        self.link_network(&body.netns_link)?;
        gantry_fault::point("supervisor.prepare.after-link").map_err(failure::injected)?;
        self.state.cgroup.clone_from(&body.cgroup);
        self.state.own_cgroup.clone_from(&body.own_cgroup);
        self.state.netns_link.clone_from(&body.netns_link);
        self.prepared = Some(body);
        self.write_state()
            .map_err(|e| failure::io("write state", &e))
    }

    /// No bind mount: a thousand of those make every clone slow. A link to our descriptor serves CNI and people alike.
    fn link_network(&self, link: &str) -> Result<()> {
        let (Some(fd), false) = (&self.namespaces.network, link.is_empty()) else {
            return Ok(());
        };
        let target = format!("/proc/{}/fd/{}", self.state.pid, fd.as_raw_fd());
        std::os::unix::fs::symlink(target, link)
            .map_err(|e| failure::io(format!("link network namespace to {link}"), &e))
    }

    pub(crate) fn commit(&mut self) -> Result<()> {
        if self.prepared.is_none() {
            return Err(WireError::new(
                ErrorKind::FailedPrecondition,
                "the sandbox is not prepared",
            ));
        }
        // Unless it is written down, the next gantryd would take us for one that was never committed.
        self.state.committed = true;
        self.write_state().map_err(|e| {
            self.state.committed = false;
            failure::io("write state", &e)
        })
    }

    pub(crate) fn network_namespace(&mut self, to: Waiter) {
        match self.namespaces.network.as_ref().map(OwnedFd::try_clone) {
            None => self.answer(to, Ok(Nothing {})),
            Some(Ok(fd)) => self.answer_with(to, Ok(Nothing {}), vec![fd]),
            Some(Err(e)) => {
                let error = failure::io("copy network namespace descriptor", &e);
                self.answer::<Nothing>(to, Err(error));
            }
        }
    }
}
