//! The seam between the built-in runtime and any other OCI runtime binary: what a task waits for until it runs.
//!
//! Another runtime is spoken to by short-lived children of ours only ([`driver`]), each in a cgroup of its own and with
//! a deadline ([`work`]): none of its commands can hold up this loop. It leaves its containers to us: as their reaper
//! of orphans we get their exit codes, and everything but making, starting, signalling and deleting them is done on
//! cgroups, pipes and terminals as for the built-in one.

pub(crate) mod begin;
mod bundle;
mod command;
mod driver;
mod report;
pub(crate) mod work;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use gantry_oci::{LaunchError, Pending};
use gantry_supervisor_proto::types::Runtime;

pub(crate) use report::Foreign;

/// A task on its way.
#[derive(Debug)]
pub(crate) enum Launching {
    /// By a child of the built-in runtime, which becomes the task's process.
    BuiltIn(Pending),
    /// By a child that calls another runtime.
    Foreign(Foreign),
}

/// What is new.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing.
    Waiting,
    /// It wants to be placed in its cgroup.
    Place,
    /// Made and blocked.
    Ready(Made),
    /// It runs.
    Running(Made),
}

/// What came along.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// The root mount, held.
    pub(crate) rootfs: Option<OwnedFd>,
    /// Master of the terminal.
    pub(crate) console: Option<OwnedFd>,
    /// The process, where it is no child we have cloned ourselves.
    pub(crate) process: Option<(i32, OwnedFd)>,
}

impl Launching {
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::BuiltIn(pending) => pending.as_fd(),
            Self::Foreign(foreign) => foreign.as_fd(),
        }
    }

    /// Takes the next thing that was said. Never blocks.
    pub(crate) fn poll(&mut self) -> Result<Progress, LaunchError> {
        match self {
            Self::BuiltIn(pending) => Ok(match pending.poll()? {
                gantry_oci::Progress::Waiting => Progress::Waiting,
                gantry_oci::Progress::Place => Progress::Place,
                gantry_oci::Progress::Ready(ready) => Progress::Ready(Made {
                    rootfs: ready.rootfs,
                    console: ready.console,
                    process: None,
                }),
                gantry_oci::Progress::Running => Progress::Running(Made::default()),
            }),
            Self::Foreign(foreign) => foreign.poll(),
        }
    }

    pub(crate) fn placed(&mut self) -> Result<(), LaunchError> {
        match self {
            Self::BuiltIn(pending) => pending.placed(),
            Self::Foreign(_) => Ok(()),
        }
    }

    /// Lets it go.
    pub(crate) fn go(&mut self) -> Result<(), LaunchError> {
        match self {
            Self::BuiltIn(pending) => pending.go(),
            Self::Foreign(foreign) => foreign.go(),
        }
    }

    /// As [`Launching::foreign`].
    pub(crate) fn foreign_mut(&mut self) -> Option<&mut Foreign> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Foreign(foreign) => Some(foreign),
        }
    }

    /// The child at it, when it is another runtime's.
    pub(crate) fn foreign(&self) -> Option<&Foreign> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Foreign(foreign) => Some(foreign),
        }
    }
}

/// What another runtime knows of a container of ours.
#[derive(Debug)]
pub(crate) struct Held {
    /// How it is called.
    pub(crate) runtime: Runtime,
    /// Configuration and mount point of the root.
    pub(crate) bundle: PathBuf,
    pub(crate) left: Left,
    /// It was never made: nobody will ask for it to be forgotten.
    pub(crate) abandoned: bool,
}

/// Whether the runtime still knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It does, or may.
    Known,
    /// It is told to forget it.
    Deleting,
    /// It does not.
    Nothing,
}
