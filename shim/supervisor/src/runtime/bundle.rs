//! A container's configuration as another runtime wants it: namespaces by path, the cgroup's path, numbers for names.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use gantry_oci::{FailureKind, LaunchError, foreign};
use gantry_supervisor_proto::types::Runtime;
use gantry_sys::caps;
use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType, Process, Spec};

/// Version of the runtime specification every runtime takes.
const VERSION: &str = "1.0.2";

/// What a sandbox has that a container joins.
#[derive(Debug)]
pub(super) struct Joined {
    /// Kind and a path that leads there.
    pub(super) namespaces: Vec<(LinuxNamespaceType, String)>,
    /// Below each hierarchy's mount.
    pub(super) cgroup: String,
}

/// A path to a descriptor of ours for somebody else of root's.
pub(super) fn path_of(pid: i32, fd: &OwnedFd) -> String {
    format!("/proc/{pid}/fd/{}", fd.as_raw_fd())
}

/// Fits a configuration; `root` is the mounted root file system and `at` where it is.
pub(super) fn fit(
    spec: &mut Spec,
    runtime: &Runtime,
    joined: &Joined,
    root: &OwnedFd,
    at: &Path,
) -> Result<(), LaunchError> {
    let version = if runtime.version.is_empty() {
        VERSION
    } else {
        &runtime.version
    };
    spec.set_version(version.to_owned());
    let mut place = spec.root().clone().unwrap_or_default();
    place.set_path(at.to_path_buf());
    spec.set_root(Some(place));
    join(spec, joined)?;
    if let Some(process) = spec.process().clone() {
        let mut process = process;
        fit_process(&mut process, root)?;
        spec.set_process(Some(process));
    }
    Ok(())
}

/// Users by number, limits within ours.
pub(super) fn fit_process(process: &mut Process, root: &OwnedFd) -> Result<(), LaunchError> {
    foreign::resolve_user(root, process)?;
    let raise = caps::number("CAP_SYS_RESOURCE").map_or(0, |n| 1_u64 << n);
    foreign::clamp(process, caps::get()?.effective & raise != 0)
}

fn join(spec: &mut Spec, joined: &Joined) -> Result<(), LaunchError> {
    let bad = |why: &str| LaunchError {
        kind: FailureKind::InvalidSpec,
        message: why.to_owned(),
        errno: 0,
    };
    let mut linux = spec
        .linux()
        .clone()
        .ok_or_else(|| bad("configuration has no linux part"))?;
    if linux.uid_mappings().as_ref().is_some_and(|m| !m.is_empty()) {
        return Err(LaunchError {
            kind: FailureKind::Unsupported,
            message: "user namespaces are served by the built-in runtime only".to_owned(),
            errno: 0,
        });
    }
    let mut list = linux.namespaces().clone().unwrap_or_default();
    for (kind, path) in &joined.namespaces {
        list.retain(|n| n.typ() != *kind);
        let one = LinuxNamespaceBuilder::default().typ(*kind).path(path);
        list.push(one.build().map_err(|e| bad(&e.to_string()))?);
        if *kind == LinuxNamespaceType::Uts {
            // The sandbox has given it its names already.
            spec.set_hostname(None).set_domainname(None);
        }
    }
    linux
        .set_namespaces(Some(list))
        .set_cgroups_path(Some(format!("/{}", joined.cgroup.trim_matches('/')).into()));
    if linux.rootfs_propagation().is_none() {
        linux.set_rootfs_propagation(propagation(spec));
    }
    spec.set_linux(Some(linux));
    Ok(())
}

/// A volume that stays connected with the host needs a root that is: other runtimes cut it off first.
fn propagation(spec: &Spec) -> Option<String> {
    let has = |words: [&str; 2]| {
        spec.mounts().iter().flatten().any(|mount| {
            let mut options = mount.options().iter().flatten();
            options.any(|o| words.contains(&o.as_str()))
        })
    };
    if has(["shared", "rshared"]) {
        Some("shared".to_owned())
    } else if has(["slave", "rslave"]) {
        Some("rslave".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(mounts: &str) -> Spec {
        let json = format!(
            r#"{{"ociVersion":"1.2.0","root":{{"path":"rootfs","readonly":true}},"hostname":"web","mounts":{mounts},
            "process":{{"cwd":"/","user":{{"uid":0,"gid":0,"username":"7:8"}},"args":["x"]}},
            "linux":{{"namespaces":[{{"type":"mount"}},{{"type":"network"}},{{"type":"uts"}},{{"type":"pid"}}]}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn namespaces_cgroup_root_and_user_are_said_in_full() {
        let mut spec = spec("[]");
        let joined = Joined {
            namespaces: vec![
                (LinuxNamespaceType::Network, "/proc/7/fd/9".into()),
                (LinuxNamespaceType::Uts, "/proc/7/fd/8".into()),
            ],
            cgroup: "gantry/a/b".into(),
        };
        let root: OwnedFd = std::fs::File::open("/").unwrap().into();
        let at = Path::new("/run/x/rootfs");
        fit(&mut spec, &Runtime::default(), &joined, &root, at).unwrap();
        let made = serde_json::to_value(&spec).unwrap();
        assert_eq!(made["ociVersion"], VERSION);
        assert_eq!(made["root"]["path"], "/run/x/rootfs");
        assert_eq!(made["root"]["readonly"], true);
        assert_eq!(made["linux"]["cgroupsPath"], "/gantry/a/b");
        assert_eq!(made["hostname"], serde_json::Value::Null);
        assert_eq!(made["process"]["user"]["uid"], 7);
        assert_eq!(made["process"]["user"]["gid"], 8);
        let list = made["linux"]["namespaces"].as_array().unwrap();
        let path = |kind: &str| {
            let found = list.iter().find(|n| n["type"] == kind).unwrap();
            found["path"].as_str().map(str::to_owned)
        };
        assert_eq!(path("network").as_deref(), Some("/proc/7/fd/9"));
        assert_eq!(path("uts").as_deref(), Some("/proc/7/fd/8"));
        assert_eq!((path("pid"), path("mount")), (None, None));
    }

    #[test]
    fn the_root_is_as_connected_as_its_volumes() {
        let one = |options: &str| {
            propagation(&spec(&format!(
                r#"[{{"destination":"/v","type":"bind","source":"/s","options":{options}}}]"#
            )))
        };
        assert_eq!(one(r#"["rbind"]"#), None);
        assert_eq!(one(r#"["rbind","rslave"]"#).as_deref(), Some("rslave"));
        assert_eq!(one(r#"["rbind","rshared"]"#).as_deref(), Some("shared"));
    }
}
