//! AppArmor profiles and SELinux labels: written through the host's own procfs, while that is what this process sees,
//! and taken by the kernel at the next exec. A host without them is told apart from a wrong name.

use crate::error::{FailureKind, LaunchError, Result};
use oci_spec::runtime::{Linux, Process};
use std::path::Path;

fn wanted(label: &Option<String>) -> Option<&str> {
    label
        .as_deref()
        .filter(|l| !l.is_empty() && *l != "unconfined")
}

/// Whether this host's kernel enforces AppArmor.
pub(crate) fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|t| t.starts_with(b"Y"))
}

/// Whether this host's kernel enforces SELinux.
pub(crate) fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce")
        .try_exists()
        .unwrap_or(false)
}

/// A label nobody would enforce is refused, not dropped.
pub(super) fn check(process: &Process) -> Result<()> {
    if let Some(profile) = wanted(process.apparmor_profile())
        && !has_apparmor()
    {
        return Err(LaunchError::unsupported(format!(
            "process.apparmorProfile {profile:?}: AppArmor is not enabled on this host"
        )));
    }
    if let Some(label) = wanted(process.selinux_label())
        && !has_selinux()
    {
        return Err(LaunchError::unsupported(format!(
            "process.selinuxLabel {label:?}: SELinux is not enabled on this host"
        )));
    }
    Ok(())
}

/// The label mounts are to get.
pub(super) fn of_mounts(linux: &Linux) -> Option<&str> {
    wanted(linux.mount_label())
}

/// Asks the kernel for both at the next exec.
pub(super) fn set(process: &Process) -> Result<()> {
    if let Some(profile) = wanted(process.apparmor_profile()) {
        let own = Path::new("/proc/thread-self/attr/apparmor/exec");
        // Kernels before 5.8 have one file for all modules.
        let file = if own.try_exists().unwrap_or(false) {
            "/proc/thread-self/attr/apparmor/exec"
        } else {
            "/proc/thread-self/attr/exec"
        };
        write(
            file,
            &format!("exec {profile}"),
            "AppArmor profile",
            profile,
        )?;
    }
    if let Some(label) = wanted(process.selinux_label()) {
        write("/proc/thread-self/attr/exec", label, "SELinux label", label)?;
    }
    Ok(())
}

fn write(file: &str, text: &str, what: &str, name: &str) -> Result<()> {
    std::fs::write(file, text).map_err(|e| LaunchError {
        kind: FailureKind::InvalidSpec,
        message: format!("set {what} {name:?}: {e}"),
        errno: e.raw_os_error().unwrap_or(0),
    })
}
