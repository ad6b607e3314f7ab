//! Which capabilities a container gets: Docker's default set, changed by `--cap-add` and `--cap-drop`.

use gantry_model::container::SecuritySpec;
use gantry_model::{Error, Result};
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use std::str::FromStr;

/// Docker's default set.
const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// By number, as the kernel has them (linux/capability.h): bit n of a set is entry n.
const BY_NUMBER: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// What the container may hold, clamped to what the host may pass on.
pub(crate) fn granted(security: &SecuritySpec, host: u64) -> Result<Capabilities> {
    let add = parse(&security.cap_add, "CapAdd")?;
    let drop = parse(&security.cap_drop, "CapDrop")?;
    let mut set: Capabilities = if security.privileged {
        BY_NUMBER.into()
    } else if add.all {
        BY_NUMBER
            .iter()
            .copied()
            .filter(|c| !drop.list.contains(c))
            .collect()
    } else if drop.all {
        add.list.iter().copied().collect()
    } else {
        let kept = DEFAULT.iter().filter(|c| !drop.list.contains(c));
        kept.chain(&add.list).copied().collect()
    };
    set.retain(|c| {
        BY_NUMBER
            .iter()
            .position(|b| b == c)
            .is_some_and(|n| host >> n & 1 == 1)
    });
    Ok(set)
}

/// The runtime-spec form: inheritable and ambient stay empty (a program with inheritable file capabilities would
/// otherwise regain them).
pub(crate) fn sets(granted: Capabilities) -> LinuxCapabilities {
    let mut made = LinuxCapabilities::default();
    made.set_bounding(Some(granted.clone()))
        .set_effective(Some(granted.clone()))
        .set_permitted(Some(granted))
        .set_inheritable(None)
        .set_ambient(None);
    made
}

/// A list of names, `ALL` apart.
struct Named {
    all: bool,
    list: Vec<Capability>,
}

fn parse(names: &[String], option: &str) -> Result<Named> {
    let mut made = Named {
        all: false,
        list: Vec::new(),
    };
    for name in names {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            made.all = true;
            continue;
        }
        let found = Capability::from_str(bare);
        let found = found.map_err(|_| {
            Error::invalid(format!(
                "invalid {option}: unknown capability: \"CAP_{bare}\""
            ))
        })?;
        made.list.push(found);
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(add: &[&str], drop: &[&str], host: u64) -> Capabilities {
        let own = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
        granted(
            &SecuritySpec {
                cap_add: own(add),
                cap_drop: own(drop),
                ..SecuritySpec::default()
            },
            host,
        )
        .unwrap()
    }

    #[test]
    fn add_and_drop() {
        assert_eq!(get(&[], &[], u64::MAX).len(), 14);
        assert!(get(&["net_admin"], &["CAP_CHOWN"], u64::MAX).contains(&Capability::NetAdmin));
        assert!(!get(&[], &["chown"], u64::MAX).contains(&Capability::Chown));
        assert_eq!(
            get(&["KILL"], &["ALL"], u64::MAX),
            [Capability::Kill].into()
        );
        assert_eq!(get(&["ALL"], &["SYS_ADMIN"], u64::MAX).len(), 40);
    }

    #[test]
    fn the_host_is_the_most() {
        assert_eq!(get(&["ALL"], &[], 1 << 5), [Capability::Kill].into());
        assert!(!get(&["SYS_RESOURCE"], &[], !(1 << 24)).contains(&Capability::SysResource));
    }

    #[test]
    fn unknown_ones_are_named() {
        let s = SecuritySpec {
            cap_add: vec!["fly".into()],
            ..SecuritySpec::default()
        };
        assert_eq!(
            granted(&s, 0).unwrap_err().message,
            "invalid CapAdd: unknown capability: \"CAP_FLY\""
        );
    }
}
