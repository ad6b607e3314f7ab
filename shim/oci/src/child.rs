//! The child's side.
use crate::error::{LaunchError, Result};
use crate::launch::{ExecLaunch, Launch};
use std::os::fd::OwnedFd;

pub(crate) struct Plan;
impl Plan {
    pub(crate) fn new(_: &Launch<'_>) -> Result<Self> {
        Err(LaunchError::unsupported("containers (under construction)"))
    }
}
pub(crate) struct Filter;
pub(crate) fn filter(_: &oci_spec::runtime::LinuxSeccomp) -> Result<Filter> {
    Err(LaunchError::unsupported("seccomp (under construction)"))
}
pub(crate) fn run_container(_: &Launch<'_>, _: &Plan, _: i32, _: bool, _: &OwnedFd) -> ! {
    gantry_sys::process::exit_now(125)
}
pub(crate) fn run_exec(_: &ExecLaunch<'_>, _: Option<&Filter>, _: bool, _: &OwnedFd) -> ! {
    gantry_sys::process::exit_now(125)
}
