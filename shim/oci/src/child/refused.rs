//! What a configuration may say and this runtime or this host cannot do: refused by its name before a process is made,
//! never passed over.

use super::{label, listener};
use crate::error::{LaunchError, Result};
use oci_spec::runtime::Spec;

/// Refuses what will not be done.
pub(super) fn check(spec: &Spec) -> Result<()> {
    for (name, set) in [
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
    ] {
        if set {
            return Err(no(name));
        }
    }
    let Some(linux) = spec.linux() else {
        return Ok(());
    };
    if linux.intel_rdt().is_some() {
        return Err(no("linux.intelRdt"));
    }
    if linux.net_devices().as_ref().is_some_and(|d| !d.is_empty()) {
        return Err(no("linux.netDevices"));
    }
    let flags = linux
        .personality()
        .as_ref()
        .and_then(|p| p.flags().as_ref());
    if let Some(flags) = flags.filter(|f| !f.is_empty()) {
        return Err(LaunchError::unsupported(format!(
            "linux.personality.flags {flags:?}: none are defined"
        )));
    }
    // Where nothing reads labels, a mount without one is as confined as with it: warned about, when it is ready.
    if label::has_selinux() && label::of_mounts(linux).is_some() {
        return Err(no("linux.mountLabel"));
    }
    if let Some(profile) = linux.seccomp() {
        listener::check(profile)?;
    }
    Ok(())
}

fn no(name: &str) -> LaunchError {
    LaunchError::unsupported(format!("{name} is not supported"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_that_is_not_done_is_named() {
        for (json, name) in [
            (r#""linux":{"intelRdt":{}}"#, "linux.intelRdt"),
            (r#""linux":{"netDevices":{"eth0":{}}}"#, "linux.netDevices"),
            (
                r#""linux":{"personality":{"domain":"LINUX","flags":["X"]}}"#,
                "linux.personality.flags",
            ),
            (r#""vm":{"kernel":{"path":"/k"}}"#, "vm"),
        ] {
            let text = format!(r#"{{"ociVersion":"1.2.0",{json}}}"#);
            let spec: Spec = serde_json::from_str(&text).unwrap();
            let e = check(&spec).unwrap_err();
            assert!(e.message.starts_with(name), "{}", e.message);
        }
    }
}
