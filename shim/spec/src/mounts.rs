//! Mounts: what every container has, then what was asked, parents before children.

use crate::input::{Bind, Input};
use gantry_model::image::Origin;
use gantry_model::supervisor::NamespaceMode;
use gantry_model::{Error, Result};
use oci_spec::runtime::{Mount, MountBuilder};
use std::path::{Component, Path, PathBuf};

/// Bytes of /dev/shm when nobody says.
const SHM: i64 = 64 << 20;

/// All of them. A mount asked for replaces a default one at the same place.
pub(crate) fn all(input: &Input<'_>) -> Result<Vec<Mount>> {
    let mut asked = input
        .binds
        .iter()
        .map(|bind| convert(bind, input.container.origin))
        .collect::<Result<Vec<_>>>()?;
    // A stable sort by depth: two at one place stay in the order they were asked.
    asked.sort_by_key(|m| m.destination().components().count());
    let mut list = defaults(input);
    list.retain(|d| !asked.iter().any(|m| m.destination() == d.destination()));
    list.extend(asked);
    Ok(list)
}

fn mount(kind: &str, source: &str, target: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
    let made = MountBuilder::default()
        .typ(kind)
        .source(source)
        .destination(target)
        .options(options);
    made.build().expect("no id mappings that could disagree")
}

fn defaults(input: &Input<'_>) -> Vec<Mount> {
    let spec = &input.container.spec;
    let access = if spec.security.privileged { "rw" } else { "ro" };
    let sys = ["nosuid", "noexec", "nodev", access];
    let mut list = vec![
        mount("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "tmpfs",
            "tmpfs",
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "devpts",
            "devpts",
            "/dev/pts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount("sysfs", "sysfs", "/sys", &sys),
        mount("cgroup", "cgroup", "/sys/fs/cgroup", &sys),
    ];
    // A new mqueue shows the queues of the IPC namespace the mounter is in: the host's, too, where nobody mounted it.
    list.push(mount(
        "mqueue",
        "mqueue",
        "/dev/mqueue",
        &["nosuid", "noexec", "nodev"],
    ));
    if input.ipc == NamespaceMode::Host {
        list.push(mount(
            "bind",
            "/dev/shm",
            "/dev/shm",
            &["rbind", "nosuid", "noexec", "nodev"],
        ));
    } else {
        let size = if spec.resources.shm_size > 0 {
            spec.resources.shm_size
        } else {
            SHM
        };
        let size = format!("size={size}");
        list.push(mount(
            "tmpfs",
            "shm",
            "/dev/shm",
            &["nosuid", "noexec", "nodev", "mode=1777", &size],
        ));
    }
    list
}

fn convert(bind: &Bind, origin: Origin) -> Result<Mount> {
    let target = clean(&bind.target)?;
    let kind = if bind.kind.is_empty() {
        "bind"
    } else {
        bind.kind.as_str()
    };
    let mut options = bind.options.clone();
    if kind == "bind" && !options.iter().any(|o| o == "bind" || o == "rbind") {
        options.insert(0, "rbind".into());
    }
    // Docker's `ro` covers what is mounted below, too (since 25.0); CRI asks for that by a field of its own.
    let has = |option: &str| options.iter().any(|o| o == option);
    if kind == "bind" && origin == Origin::Docker && has("ro") && has("rbind") && !has("rro") {
        options.push("rro".into());
    }
    let source = if bind.source.is_empty() {
        kind
    } else {
        bind.source.as_str()
    };
    let made = MountBuilder::default()
        .typ(kind)
        .source(source)
        .destination(target)
        .options(options);
    Ok(made.build().expect("no id mappings that could disagree"))
}

/// The target without `.` and `..`, so that equal places compare equal.
fn clean(target: &str) -> Result<PathBuf> {
    let path = Path::new(target);
    if !path.is_absolute() {
        return Err(Error::invalid(format!(
            "invalid mount target {target:?}: it must be absolute"
        )));
    }
    let mut made = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => {
                made.pop();
            }
            Component::Normal(name) => made.push(name),
            _ => {}
        }
    }
    if made == Path::new("/") {
        return Err(Error::invalid(format!(
            "invalid mount target {target:?}: destination can't be '/'"
        )));
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_cleaned() {
        assert_eq!(clean("/a/./b/../c/").unwrap(), Path::new("/a/c"));
        for bad in ["", "a", "/", "/..", "/a/.."] {
            assert!(clean(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bind_without_a_word_is_recursive_and_dockers_ro_covers_submounts() {
        let b = Bind {
            kind: "bind".into(),
            source: "/s".into(),
            target: "/t".into(),
            options: vec!["ro".into()],
        };
        let options = |origin| convert(&b, origin).unwrap().options().clone().unwrap();
        assert_eq!(options(Origin::Docker), ["rbind", "ro", "rro"]);
        assert_eq!(options(Origin::Cri), ["rbind", "ro"]);
    }
}
