//! Limits, and which devices may be opened.

use crate::input::Input;
use gantry_model::container::Resources;
use gantry_model::image::Origin;
use gantry_model::{Error, Result};
use oci_spec::runtime::{
    LinuxCpu, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemory, LinuxPids,
    LinuxResources, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

/// Devices every container may use: null, zero, full, random, urandom, tty, console, ptmx, pseudo terminals.
const DEVICES: [(i64, Option<i64>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

pub(crate) fn all(input: &Input<'_>) -> Result<LinuxResources> {
    let spec = &input.container.spec;
    if !spec.security.devices.is_empty() {
        return Err(Error::unimplemented(
            "devices of the host in containers are not served yet",
        ));
    }
    let r = &spec.resources;
    check(r)?;
    let mut made = LinuxResources::default();
    made.set_devices(Some(devices(spec.security.privileged)))
        .set_memory(memory(r, input.container.origin))
        .set_cpu(cpu(r))
        .set_pids(r.pids_limit.filter(|n| *n > 0).map(pids))
        .set_unified(
            Some(r.unified.clone().into_iter().collect()).filter(|_| !r.unified.is_empty()),
        );
    Ok(made)
}

/// Docker's rules in Docker's words: both doors' users look these texts up.
fn check(r: &Resources) -> Result<()> {
    /// Less could not even start a process.
    const LEAST: i64 = 6 << 20;
    if r.memory < 0 || (r.memory != 0 && r.memory < LEAST) {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if r.memory_swap > 0 && r.memory_swap < r.memory {
        return Err(Error::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if r.memory > 0 && r.memory_reservation > r.memory {
        return Err(Error::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    if r.memory_swap > 0 && r.memory == 0 {
        return Err(Error::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if r.nano_cpus < 0 || (r.nano_cpus > 0 && (r.cpu_quota > 0 || r.cpu_period > 0)) {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set",
        ));
    }
    if r.cpu_period != 0 && !(1_000..=1_000_000).contains(&r.cpu_period) {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if r.cpu_quota > 0 && r.cpu_quota < 1_000 {
        return Err(Error::invalid(
            "CPU cfs quota can not be less than 1ms (i.e. 1000)",
        ));
    }
    if !(-1000..=1000).contains(&r.oom_score_adj) {
        let message = format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            r.oom_score_adj
        );
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Without a word about swap Docker allows as much again, CRI none.
fn memory(r: &Resources, origin: Origin) -> Option<LinuxMemory> {
    if r.memory == 0 && r.memory_swap == 0 && r.memory_reservation == 0 {
        return None;
    }
    let swap = match (r.memory_swap, origin) {
        (0, _) if r.memory == 0 => None,
        (0, Origin::Docker) => Some(r.memory.saturating_mul(2)),
        (0, Origin::Cri) => Some(r.memory),
        (swap, _) => Some(swap),
    };
    let mut made = LinuxMemory::default();
    made.set_limit(Some(r.memory).filter(|m| *m != 0))
        .set_swap(swap)
        .set_reservation(Some(r.memory_reservation).filter(|m| *m > 0));
    Some(made)
}

fn cpu(r: &Resources) -> Option<LinuxCpu> {
    /// Microseconds of a period when CPUs are given in billionths.
    const PERIOD: i64 = 100_000;
    let text = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
    let (quota, period) = match r.nano_cpus {
        0 => (
            Some(r.cpu_quota).filter(|q| *q != 0),
            u64::try_from(r.cpu_period).ok().filter(|p| *p > 0),
        ),
        nano => (
            Some((nano / (1_000_000_000 / PERIOD)).max(1_000)),
            Some(PERIOD.unsigned_abs()),
        ),
    };
    let mut made = LinuxCpu::default();
    made.set_shares(u64::try_from(r.cpu_shares).ok().filter(|s| *s > 0))
        .set_quota(quota)
        .set_period(period)
        .set_cpus(text(&r.cpuset_cpus))
        .set_mems(text(&r.cpuset_mems));
    (made != LinuxCpu::default()).then_some(made)
}

fn pids(limit: i64) -> LinuxPids {
    let mut made = LinuxPids::default();
    made.set_limit(limit);
    made
}

fn devices(privileged: bool) -> Vec<LinuxDeviceCgroup> {
    let rule =
        |allow: bool, kind: LinuxDeviceType, number: Option<(i64, Option<i64>)>, access: &str| {
            let made = LinuxDeviceCgroupBuilder::default()
                .allow(allow)
                .typ(kind)
                .access(access);
            let made = match number {
                Some((major, Some(minor))) => made.major(major).minor(minor),
                Some((major, None)) => made.major(major),
                None => made,
            };
            made.build().expect("every field has a value")
        };
    if privileged {
        return vec![rule(true, LinuxDeviceType::A, None, "rwm")];
    }
    let mut list = vec![
        rule(false, LinuxDeviceType::A, None, "rwm"),
        // Making a node is harmless while it cannot be opened.
        rule(true, LinuxDeviceType::C, None, "m"),
        rule(true, LinuxDeviceType::B, None, "m"),
    ];
    list.extend(
        DEVICES
            .iter()
            .map(|n| rule(true, LinuxDeviceType::C, Some(*n), "rwm")),
    );
    list
}

/// getrlimit(2) limits, by Docker's names.
pub(crate) fn rlimits(r: &Resources) -> Result<Vec<PosixRlimit>> {
    let one = |u: &gantry_model::container::Ulimit| {
        let name = format!("RLIMIT_{}", u.name.to_ascii_uppercase());
        let kind = name.parse::<PosixRlimitType>();
        let kind = kind.map_err(|_| Error::invalid(format!("invalid ulimit type: {}", u.name)))?;
        if u.soft > u.hard {
            let message = format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                u.soft, u.hard
            );
            return Err(Error::invalid(message));
        }
        Ok(PosixRlimitBuilder::default()
            .typ(kind)
            .soft(u.soft)
            .hard(u.hard)
            .build()
            .expect("every field is set"))
    };
    r.ulimits.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_without_a_word() {
        let r = Resources {
            memory: 64 << 20,
            ..Resources::default()
        };
        assert_eq!(memory(&r, Origin::Docker).unwrap().swap(), Some(128 << 20));
        assert_eq!(memory(&r, Origin::Cri).unwrap().swap(), Some(64 << 20));
        assert!(memory(&Resources::default(), Origin::Docker).is_none());
    }

    #[test]
    fn cpus_become_a_quota() {
        let c = cpu(&Resources {
            nano_cpus: 1_500_000_000,
            ..Resources::default()
        })
        .unwrap();
        assert_eq!((c.quota(), c.period()), (Some(150_000), Some(100_000)));
        assert!(cpu(&Resources::default()).is_none());
    }

    #[test]
    fn impossible_limits_are_refused() {
        let bad = [
            Resources {
                memory: 1 << 20,
                ..Resources::default()
            },
            Resources {
                memory: 64 << 20,
                memory_swap: 32 << 20,
                ..Resources::default()
            },
            Resources {
                nano_cpus: 1,
                cpu_quota: 5_000,
                ..Resources::default()
            },
            Resources {
                cpu_period: 10,
                ..Resources::default()
            },
            Resources {
                oom_score_adj: 5_000,
                ..Resources::default()
            },
        ];
        for r in bad {
            assert!(check(&r).is_err(), "{r:?}");
        }
    }

    #[test]
    fn ulimits_by_name() {
        let u = |name: &str, soft| gantry_model::container::Ulimit {
            name: name.into(),
            soft,
            hard: 10,
        };
        let r = |u| Resources {
            ulimits: vec![u],
            ..Resources::default()
        };
        assert_eq!(
            rlimits(&r(u("nofile", 5))).unwrap()[0].typ(),
            PosixRlimitType::RlimitNofile
        );
        assert!(rlimits(&r(u("wings", 5))).is_err());
        assert!(rlimits(&r(u("nofile", 11))).is_err());
    }
}
