//! Kernel settings of the container's own namespaces, written through our own procfs mount and no other.

use super::rootfs::Root;
use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::launch::Launch;
use gantry_sys::beneath::{self, Links};
use gantry_sys::{Error, namespace};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Which namespace a setting belongs to; `None` for one of the whole host.
fn owner(name: &str) -> Option<i32> {
    const IPC: [&str; 7] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
    ];
    if IPC.contains(&name) || name == "kernel.shm_rmid_forced" || name.starts_with("fs.mqueue.") {
        Some(namespace::IPC)
    } else if name.starts_with("net.") {
        Some(namespace::NET)
    } else if matches!(name, "kernel.domainname" | "kernel.hostname") {
        Some(namespace::UTS)
    } else {
        None
    }
}

/// The path below /proc/sys, or why it can't be one. A `/` may separate parts instead of a dot, as in sysctl(8).
fn path(name: &str) -> Result<PathBuf> {
    let parts: Vec<&str> = name
        .split(if name.contains('/') { '/' } else { '.' })
        .collect();
    let plain = |p: &&str| {
        !p.is_empty()
            && *p != ".."
            && *p != "."
            && p.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b))
    };
    if parts.len() < 2 || !parts.iter().all(plain) {
        return Err(LaunchError::spec(format!("sysctl name {name:?}")));
    }
    Ok(std::iter::once("sys").chain(parts).collect())
}

/// Writes them all.
pub(super) fn apply(launch: &Launch<'_>, root: &Root, flags: i32) -> Result<()> {
    let list = launch
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.sysctl().as_ref());
    for (name, value) in list.into_iter().flatten() {
        let file = path(name)?;
        let kind = owner(&name.replace('/', "."))
            .ok_or_else(|| LaunchError::spec(format!("sysctl {name} is the host's")))?;
        let joined = match kind {
            namespace::IPC => launch.join.ipc.is_some(),
            namespace::NET => launch.join.net.is_some(),
            _ => launch.join.uts.is_some(),
        };
        if flags & kind == 0 && !joined {
            return Err(LaunchError::spec(format!(
                "sysctl {name}: the container shares that namespace with the host"
            )));
        }
        if value.bytes().any(|b| b == b'\n' || b == 0) {
            return Err(LaunchError::spec(format!("sysctl {name}: value {value:?}")));
        }
        let proc = root
            .proc
            .as_ref()
            .ok_or_else(|| LaunchError::spec("sysctls without a proc mount"))?;
        write(proc, &file, value)
            .map_err(|e| e.within(&format!("set sysctl {name}")))
            .kind(FailureKind::InvalidSpec)?;
    }
    Ok(())
}

fn write(proc: &OwnedFd, file: &std::path::Path, value: &str) -> gantry_sys::Result<()> {
    let fd = beneath::open(proc, file, OFlag::O_WRONLY, Mode::empty(), Links::Refuse)
        .map_err(|e| Error::new("open", e))?;
    nix::unistd::write(&fd, value.as_bytes())
        .map(|_| ())
        .map_err(|e| Error::new(format!("write {value:?}"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaced_settings_have_an_owner() {
        assert_eq!(owner("net.ipv4.ip_forward"), Some(namespace::NET));
        assert_eq!(owner("kernel.shmmax"), Some(namespace::IPC));
        assert_eq!(owner("fs.mqueue.msg_max"), Some(namespace::IPC));
        for host in [
            "kernel.core_pattern",
            "vm.overcommit_memory",
            "kernel.shmmaxx",
            "fs.file-max",
            "networking.x",
        ] {
            assert_eq!(owner(host), None, "{host}");
        }
    }

    #[test]
    fn names_cannot_climb_or_smuggle() {
        assert_eq!(
            path("net.ipv4.conf").unwrap(),
            PathBuf::from("sys/net/ipv4/conf")
        );
        assert_eq!(
            path("net/ipv4/conf/eth0.1/x").unwrap(),
            PathBuf::from("sys/net/ipv4/conf/eth0.1/x")
        );
        for bad in [
            "",
            "net",
            "net..x",
            "net/../kernel",
            "net.a+b",
            "net.a=b",
            "net.a b",
            "net.a\nb",
        ] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }
}
