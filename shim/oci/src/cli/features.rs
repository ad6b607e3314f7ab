//! What this runtime can do, as the features document of the runtime specification.

use super::Outcome;
use crate::child::{has_apparmor, has_selinux};
use crate::hooks::{Stage, VERSION};
use serde_json::{Value, json};

pub(super) fn version() -> String {
    format!(
        "gantry-shim oci version {}\nspec: {VERSION}",
        env!("CARGO_PKG_VERSION")
    )
}

pub(super) fn print() -> Outcome {
    super::print(&serde_json::to_string_pretty(&document()).unwrap_or_default())
}

const MOUNT_OPTIONS: &str = "async atime bind defaults dev diratime exec idmap noatime nodev nodiratime \
    noexec norelatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime rexec ridmap rnoatime rnodev \
    rnodiratime rnoexec rnorelatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime \
    rsuid rsymfollow runbindable rw shared slave strictatime suid symfollow tmpcopyup unbindable";

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

pub(super) fn document() -> Value {
    let caps: Vec<String> = gantry_sys::caps::NAMES
        .iter()
        .map(|n| format!("CAP_{n}"))
        .collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": Stage::ALL.map(Stage::name),
        "mountOptions": words(MOUNT_OPTIONS),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": caps,
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false},
            "seccomp": {
                "enabled": true,
                "actions": words("SCMP_ACT_ALLOW SCMP_ACT_ERRNO SCMP_ACT_KILL SCMP_ACT_KILL_PROCESS \
                    SCMP_ACT_KILL_THREAD SCMP_ACT_LOG SCMP_ACT_NOTIFY SCMP_ACT_TRACE SCMP_ACT_TRAP"),
                "operators": words("SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_LE SCMP_CMP_LT \
                    SCMP_CMP_MASKED_EQ SCMP_CMP_NE"),
                "archs": gantry_seccomp::architectures().map(|a| a.to_string()).collect::<Vec<_>>(),
                "knownFlags": words(gantry_seccomp::FLAGS),
                "supportedFlags": words(gantry_seccomp::FLAGS)
            },
            "apparmor": {"enabled": has_apparmor()},
            "selinux": {"enabled": has_selinux()},
            "intelRdt": {"enabled": false},
            "netDevices": {"enabled": false},
            "memoryPolicy": {
                "modes": words("MPOL_BIND MPOL_DEFAULT MPOL_INTERLEAVE MPOL_LOCAL MPOL_PREFERRED \
                    MPOL_PREFERRED_MANY MPOL_WEIGHTED_INTERLEAVE"),
                "flags": words("MPOL_F_NUMA_BALANCING MPOL_F_RELATIVE_NODES MPOL_F_STATIC_NODES")
            },
            "mountExtensions": {"idmap": {"enabled": true}}
        },
        "annotations": {},
        "potentiallyUnsafeConfigAnnotations": []
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_the_specification_says_and_every_option_is_read() {
        let features: oci_spec::runtime::Features = serde_json::from_value(document()).unwrap();
        assert_eq!(features.oci_version_max(), VERSION);
        for option in words(MOUNT_OPTIONS) {
            assert!(crate::child::reads_option(option), "{option}");
        }
    }
}
