//! The sandbox's own namespaces, held as descriptors.
//!
//! They are made by this process itself: it has one thread, so it steps into fresh namespaces, sets what can only be
//! set from inside (sysctls, names, loopback), takes descriptors and steps back, in half a millisecond and without a
//! child. Between two steps nothing else runs here.

use std::os::fd::OwnedFd;

use gantry_supervisor_proto::WireError;
use gantry_supervisor_proto::types::{Namespace, Prepare};
use gantry_sys::namespace::{self, Flags};

/// What is held; `None` where the host's is used.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    pub(crate) network: Option<OwnedFd>,
    pub(crate) ipc: Option<OwnedFd>,
    pub(crate) uts: Option<OwnedFd>,
}

/// Makes them.
///
/// # Errors
/// The kernel's, or a sysctl that is none of these namespaces'.
pub(crate) fn make(prepare: &Prepare) -> Result<Namespaces, WireError> {
    let wanted = [
        (prepare.network, namespace::NET),
        (prepare.ipc, namespace::IPC),
        (prepare.uts, namespace::UTS),
    ];
    let flags = wanted
        .iter()
        .filter(|(mode, _)| *mode == Namespace::Own)
        .fold(0, |all, (_, flag)| all | flag);
    check_sysctls(prepare, flags)?;
    let mut made = Namespaces::default();
    if flags == 0 {
        return Ok(made);
    }
    let own = |flag| {
        (flags & flag != 0)
            .then(|| namespace::own(flag))
            .transpose()
            .map_err(failed)
    };
    let back = [
        own(namespace::NET)?,
        own(namespace::IPC)?,
        own(namespace::UTS)?,
    ];
    namespace::unshare(flags).map_err(failed)?;
    let inside = furnish(prepare, flags).and_then(|()| {
        made.network = own(namespace::NET)?;
        made.ipc = own(namespace::IPC)?;
        made.uts = own(namespace::UTS)?;
        Ok(())
    });
    for (fd, flag) in back
        .iter()
        .zip([namespace::NET, namespace::IPC, namespace::UTS])
    {
        if let Some(fd) = fd {
            namespace::enter(fd, flag).map_err(failed)?;
        }
    }
    inside.map(|()| made)
}

fn failed(error: gantry_sys::Error) -> WireError {
    crate::failure::sys(error).context("make the sandbox's namespaces")
}

fn furnish(prepare: &Prepare, flags: Flags) -> Result<(), WireError> {
    if flags & namespace::UTS != 0 {
        set_names(prepare)?;
    }
    if flags & namespace::NET != 0 {
        gantry_sys::loopback::up().map_err(failed)?;
        refuse_router_advertisements();
    }
    for (name, value) in &prepare.sysctls {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::write(path, value)
            .map_err(|e| WireError::invalid(format!("set sysctl {name} to {value:?}: {e}")))?;
    }
    Ok(())
}

/// Whoever shares a bridge with a container could otherwise give it addresses and a default route by a router
/// advertisement. Interfaces that come later inherit this; a sysctl of the user's own is set after it and wins. A host
/// without IPv6 has no such file.
fn refuse_router_advertisements() {
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/accept_ra", "0");
}

fn set_names(prepare: &Prepare) -> Result<(), WireError> {
    let invalid = |what: &str, name: &str, e: std::io::Error| {
        WireError::invalid(format!("set {what} {name:?}: {e}"))
    };
    if !prepare.hostname.is_empty() {
        nix::unistd::sethostname(&prepare.hostname)
            .map_err(|e| invalid("host name", &prepare.hostname, e.into()))?;
    }
    if !prepare.domainname.is_empty() {
        std::fs::write("/proc/sys/kernel/domainname", &prepare.domainname)
            .map_err(|e| invalid("domain name", &prepare.domainname, e))?;
    }
    Ok(())
}

/// Only what belongs to a namespace of the sandbox's own may be set: anything else is the host's.
fn check_sysctls(prepare: &Prepare, flags: Flags) -> Result<(), WireError> {
    for name in prepare.sysctls.keys() {
        let Some(kind) = owner(name) else {
            return Err(WireError::invalid(format!(
                "sysctl {name:?} belongs to no namespace"
            )));
        };
        if flags & kind == 0 {
            return Err(WireError::invalid(format!(
                "sysctl {name:?} would change the host's namespace, which this sandbox uses"
            )));
        }
    }
    Ok(())
}

/// The namespace a sysctl belongs to.
fn owner(name: &str) -> Option<Flags> {
    const IPC: [&str; 9] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.auto_msgmni",
    ];
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if !plain || name.split('.').any(str::is_empty) {
        return None;
    }
    if IPC.contains(&name) || name.starts_with("fs.mqueue.") {
        Some(namespace::IPC)
    } else if name.starts_with("net.") {
        Some(namespace::NET)
    } else if name == "kernel.domainname" || name == "kernel.hostname" {
        Some(namespace::UTS)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaced_sysctls_pass() {
        assert_eq!(owner("net.ipv4.ip_forward"), Some(namespace::NET));
        assert_eq!(owner("fs.mqueue.msg_max"), Some(namespace::IPC));
        for bad in [
            "kernel.core_pattern",
            "vm.swappiness",
            "net",
            "net..x",
            "net/../kernel",
            "net.ipv4/../../kernel.x",
            "",
        ] {
            assert_eq!(owner(bad), None, "{bad}");
        }
        let prepare = Prepare {
            network: Namespace::Host,
            sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
            ..Prepare::default()
        };
        assert!(check_sysctls(&prepare, namespace::IPC).is_err());
        assert!(check_sysctls(&prepare, namespace::NET).is_ok());
    }
}
