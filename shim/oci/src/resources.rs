//! `linux.resources` of a configuration as limits of a group.

use crate::error::{LaunchError, Result};
use gantry_sys::cgroup::{DeviceKind, DeviceRule, Limits};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources, Spec};

/// The limits a configuration asks for. Its extra controllers are what [`gantry_sys::cgroup::Group::at`] wants.
///
/// # Errors
/// An impossible device rule.
pub fn limits(spec: &Spec) -> std::result::Result<Limits, LaunchError> {
    match spec.linux().as_ref().and_then(|l| l.resources().as_ref()) {
        Some(resources) => update_limits(resources),
        None => Ok(Limits::default()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
