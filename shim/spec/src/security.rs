//! Filter, masked and read-only paths.

use crate::capabilities::granted;
use crate::input::Input;
use gantry_model::container::{SeccompSpec, SecuritySpec};
use gantry_model::{Error, Result};
use oci_spec::runtime::LinuxSeccomp;

/// Hidden unless the request says otherwise. The last one is a pattern our own runtime expands per CPU.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/devices/system/cpu/cpu*/thermal_throttle",
];

/// Read-only unless the request says otherwise.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

fn list(asked: Option<&Vec<String>>, security: &SecuritySpec, default: &[&str]) -> Vec<String> {
    match asked {
        _ if security.privileged => Vec::new(),
        Some(asked) => asked.clone(),
        None => default.iter().map(|p| (*p).to_owned()).collect(),
    }
}

pub(crate) fn masked_paths(security: &SecuritySpec) -> Vec<String> {
    list(security.masked_paths.as_ref(), security, &MASKED)
}

pub(crate) fn readonly_paths(security: &SecuritySpec) -> Vec<String> {
    list(security.readonly_paths.as_ref(), security, &READ_ONLY)
}

/// The filter; privileged ignores both profiles.
pub(crate) fn seccomp(input: &Input<'_>) -> Result<Option<LinuxSeccomp>> {
    let security = &input.container.spec.security;
    if security.privileged {
        return Ok(None);
    }
    let held = granted(security, input.host.capabilities)?;
    Ok(match &security.seccomp {
        SeccompSpec::Unconfined => None,
        SeccompSpec::Default => Some(gantry_seccomp::default_profile(&held)),
        SeccompSpec::Profile(text) => {
            let profile = gantry_seccomp::parse_profile(text, &held)
                .map_err(|e| Error::invalid(e.to_string()))?;
            // What cannot be compiled is told now and not by a container that fails to start.
            gantry_seccomp::compile(&profile)
                .map_err(|e| Error::invalid(format!("seccomp profile: {e}")))?;
            Some(profile)
        }
    })
}

/// Refuses a profile this host cannot load.
pub(crate) fn check_apparmor(security: &SecuritySpec) -> Result<()> {
    match security.apparmor.as_str() {
        "" | "unconfined" | "runtime/default" | "docker-default" => Ok(()),
        other => {
            let name = other.strip_prefix("localhost/").unwrap_or(other);
            Err(Error::failed_precondition(format!(
                "AppArmor profile {name:?}: AppArmor is not supported yet"
            )))
        }
    }
}
