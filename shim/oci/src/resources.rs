//! `linux.resources` of a configuration as limits of a group.

use crate::error::{FailureKind, LaunchError, Result};
use gantry_sys::cgroup::{DeviceKind, DeviceRule, Group, Limits};
use nix::errno::Errno;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources, Spec};

/// The limits a configuration asks for. Its extra controllers are what [`gantry_sys::cgroup::Group::at`] wants.
///
/// # Errors
/// An impossible device rule.
pub fn limits(spec: &Spec) -> std::result::Result<Limits, LaunchError> {
    match spec.linux().as_ref().and_then(|l| l.resources().as_ref()) {
        Some(resources) => {
            let mut limits = update_limits(resources)?;
            if let Some(rules) = &mut limits.devices {
                rules.extend(default_devices());
            }
            Ok(limits)
        }
        None => Ok(Limits::default()),
    }
}

/// What every container may use however strict its own rules are: the default devices of the runtime specification
/// (config-linux, "Default Devices"), which the child still has to make, and making nodes of any kind, which without
/// the right to open them is harmless. runc and crun add the same after the configuration's own rules.
fn default_devices() -> impl Iterator<Item = DeviceRule> {
    let make = |kind| DeviceRule {
        kind,
        read: false,
        write: false,
        ..DeviceRule::all(true)
    };
    let usable = [
        (1, Some(3)), // null
        (1, Some(5)), // zero
        (1, Some(7)), // full
        (1, Some(8)), // random
        (1, Some(9)), // urandom
        (5, Some(0)), // tty
        (5, Some(2)), // ptmx
        (136, None),  // pts/*
    ];
    let usable = usable.into_iter().map(|(major, minor)| DeviceRule {
        kind: DeviceKind::Char,
        major: Some(major),
        minor,
        ..DeviceRule::all(true)
    });
    [make(DeviceKind::Char), make(DeviceKind::Block)]
        .into_iter()
        .chain(usable)
}

/// The limits one `resources` object asks for; what it leaves out stays as it is.
///
/// # Errors
/// An impossible device rule.
pub fn update_limits(r: &LinuxResources) -> std::result::Result<Limits, LaunchError> {
    let mut l = Limits::default();
    if let Some(m) = r.memory() {
        l.memory = m.limit();
        l.memory_swap = m.swap();
        l.memory_reservation = m.reservation();
        l.swappiness = m.swappiness();
        l.oom_kill_disable = m.disable_oom_killer().filter(|on| *on);
    }
    if let Some(c) = r.cpu() {
        l.cpu_shares = c.shares();
        l.cpu_quota = c.quota();
        l.cpu_period = c.period();
        l.cpuset_cpus = c.cpus().clone().filter(|t| !t.is_empty());
        l.cpuset_mems = c.mems().clone().filter(|t| !t.is_empty());
    }
    l.pids = r.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit);
    l.blkio_weight = r
        .block_io()
        .as_ref()
        .and_then(|b| b.weight())
        .filter(|w| *w > 0);
    for page in r.hugepage_limits().iter().flatten() {
        l.hugepages.push((
            page.page_size().clone(),
            page.limit().max(0).cast_unsigned(),
        ));
    }
    if let Some(unified) = r.unified() {
        l.unified = unified
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        l.unified.sort();
    }
    if let Some(devices) = r.devices() {
        l.devices = Some(devices.iter().map(device_rule).collect::<Result<_>>()?);
    }
    Ok(l)
}

fn device_rule(d: &LinuxDeviceCgroup) -> Result<DeviceRule> {
    let kind = match d.typ().unwrap_or(LinuxDeviceType::A) {
        LinuxDeviceType::A => DeviceKind::All,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Char,
        LinuxDeviceType::P => return Err(LaunchError::spec("device rule for a FIFO")),
    };
    let number = |n: Option<i64>| match n {
        None | Some(-1) => Ok(None),
        Some(n) => u32::try_from(n)
            .map(Some)
            .map_err(|_| LaunchError::spec(format!("device number {n}"))),
    };
    let access = d.access().as_deref().unwrap_or("rwm");
    Ok(DeviceRule {
        allow: d.allow(),
        kind,
        major: number(d.major())?,
        minor: number(d.minor())?,
        read: access.contains('r'),
        write: access.contains('w'),
        mknod: access.contains('m'),
    })
}

/// Sets a group's limits. A value the kernel does not take (a processor that is not there, more than the parent has) is
/// the configuration's mistake and not the host's.
pub(crate) fn apply(group: &Group, limits: &Limits) -> Result<()> {
    group.set(limits).map_err(|e| {
        let impossible = matches!(
            e.errno(),
            Errno::EINVAL | Errno::ERANGE | Errno::EACCES | Errno::ENOSPC | Errno::EOVERFLOW
        );
        LaunchError {
            kind: if impossible {
                FailureKind::InvalidSpec
            } else {
                FailureKind::Cgroup
            },
            message: format!("set the limits of the container: {e}"),
            errno: e.errno() as i32,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_that_denies_everything_keeps_the_default_devices() {
        let json = r#"{"ociVersion":"1.0.2","linux":{"resources":{"devices":[{"allow":false,"access":"rwm"}]}}}"#;
        let rules = limits(&serde_json::from_str(json).unwrap())
            .unwrap()
            .devices
            .unwrap();
        assert_eq!(rules[0], DeviceRule::all(false));
        let null = |r: &DeviceRule| r.allow && r.major == Some(1) && r.minor == Some(3) && r.read;
        assert!(rules.iter().any(null));
        let none = r#"{"ociVersion":"1.0.2","linux":{"resources":{}}}"#;
        assert!(
            limits(&serde_json::from_str(none).unwrap())
                .unwrap()
                .devices
                .is_none()
        );
    }

    #[test]
    fn resources_become_limits() {
        let json = r#"{"memory":{"limit":1048576,"swap":2097152},"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"},
            "pids":{"limit":7},"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}]}"#;
        let l = update_limits(&serde_json::from_str(json).unwrap()).unwrap();
        assert_eq!(
            (l.memory, l.memory_swap, l.pids),
            (Some(1_048_576), Some(2_097_152), Some(7))
        );
        assert_eq!(l.extra_controllers(), ["cpuset"]);
        let rules = l.devices.unwrap();
        assert_eq!(rules[0], DeviceRule::all(false));
        assert!(rules[1].read && !rules[1].mknod && rules[1].major == Some(1));
    }
}
