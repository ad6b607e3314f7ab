//! Confinement: capabilities, `--security-opt`, devices, hidden paths.

use gantry_model::container::{DeviceSpec, SeccompSpec, SecuritySpec};

use super::body::HostConfig;
use crate::response::Failure;

/// Paths hidden by default, as inspect shows them.
pub(crate) const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Paths read-only by default, as inspect shows them.
pub(crate) const READONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Reads it.
///
/// # Errors
/// 400 for an option nobody knows, 501 for one that is not served.
pub(crate) fn security(config: &HostConfig) -> Result<SecuritySpec, Failure> {
    let mut spec = SecuritySpec {
        privileged: config.privileged,
        cap_add: config.cap_add.clone(),
        cap_drop: config.cap_drop.clone(),
        read_only_rootfs: config.readonly_rootfs,
        masked_paths: config.masked_paths.clone(),
        readonly_paths: config.readonly_paths.clone(),
        devices: config
            .devices
            .iter()
            .map(|device| DeviceSpec {
                host_path: device.path_on_host.clone(),
                container_path: if device.path_in_container.is_empty() {
                    device.path_on_host.clone()
                } else {
                    device.path_in_container.clone()
                },
                permissions: if device.cgroup_permissions.is_empty() {
                    "rwm".to_owned()
                } else {
                    device.cgroup_permissions.clone()
                },
            })
            .collect(),
        ..SecuritySpec::default()
    };
    for option in &config.security_opt {
        // Very old clients write `key:value`.
        let (key, value) = option
            .split_once('=')
            .or_else(|| option.split_once(':'))
            .unwrap_or((option, ""));
        match (key, value) {
            ("no-new-privileges", "" | "true") => spec.no_new_privileges = true,
            ("no-new-privileges", "false") => {}
            ("seccomp", "unconfined") => spec.seccomp = SeccompSpec::Unconfined,
            ("seccomp", "" | "builtin") => {}
            ("seccomp", profile) => spec.seccomp = SeccompSpec::Profile(profile.to_owned()),
            ("apparmor", "unconfined" | "") => {}
            ("apparmor", profile) => spec.apparmor = profile.to_owned(),
            // No label is given to begin with.
            ("label", "disable") => {}
            ("label" | "systempaths" | "writable-cgroups", _) => {
                let text = format!("security option {option} is not served by gantry yet");
                return Err(Failure::not_served(text));
            }
            _ => {
                return Err(Failure::bad_request(format!(
                    "invalid --security-opt: {option:?}"
                )));
            }
        }
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::super::body;
    use super::*;
    use serde_json::json;

    fn read(options: &[&str]) -> Result<SecuritySpec, Failure> {
        security(&body::read(json!({"SecurityOpt": options})).unwrap())
    }

    #[test]
    fn options_are_honoured_or_refused() {
        let spec = read(&["no-new-privileges", "seccomp=unconfined", "label=disable"]).unwrap();
        assert!(spec.no_new_privileges);
        assert_eq!(spec.seccomp, SeccompSpec::Unconfined);
        assert_eq!(
            read(&["seccomp={}"]).unwrap().seccomp,
            SeccompSpec::Profile("{}".into())
        );
        assert_eq!(read(&["apparmor=mine"]).unwrap().apparmor, "mine");
        assert_eq!(read(&["label=type:x"]).unwrap_err().status.as_u16(), 501);
        assert_eq!(read(&["nope=1"]).unwrap_err().status.as_u16(), 400);
    }
}
