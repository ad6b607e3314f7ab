//! What a group may use. One struct for both versions; the numbers are cgroup v1's (shares, quota and period in
//! microseconds, memory + swap together), translated for v2.

use super::{DeviceRule, Group, Version, read, write};
use crate::error::{Error, Result};
use nix::errno::Errno;
use std::path::{Path, PathBuf};

/// Limits; `None` leaves a value as it is. -1 means unlimited where a limit is signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<i64>,
    /// Bytes of memory and swap together.
    pub memory_swap: Option<i64>,
    /// Bytes below which memory is reclaimed last.
    pub memory_reservation: Option<i64>,
    /// 0 to 100; v1 only.
    pub swappiness: Option<u64>,
    /// Whether the OOM killer is switched off; v1 only.
    pub oom_kill_disable: Option<bool>,
    /// Relative weight, 2 to 262144; 1024 is the default.
    pub cpu_shares: Option<u64>,
    /// Microseconds per period.
    pub cpu_quota: Option<i64>,
    /// Microseconds, 1,000 to 1,000,000.
    pub cpu_period: Option<u64>,
    /// CPUs such as "0-3,7".
    pub cpuset_cpus: Option<String>,
    /// Memory nodes such as "0".
    pub cpuset_mems: Option<String>,
    /// Number of tasks.
    pub pids: Option<i64>,
    /// Relative weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// Page size ("2MB") and bytes.
    pub hugepages: Vec<(String, u64)>,
    /// cgroup v2 files set as they are.
    pub unified: Vec<(String, String)>,
    /// Device access; `None` leaves it open.
    pub devices: Option<Vec<DeviceRule>>,
}

impl Limits {
    /// Controllers beyond the base ones that these limits need: `extra` of [`Group::at`].
    #[must_use]
    pub fn extra_controllers(&self) -> Vec<&'static str> {
        let mut list = Vec::new();
        if self.cpuset_cpus.is_some() || self.cpuset_mems.is_some() {
            list.push("cpuset");
        }
        if self.blkio_weight.is_some() {
            list.push("blkio");
        }
        if !self.hugepages.is_empty() {
            list.push("hugetlb");
        }
        list
    }

    /// Whether nothing is limited (device rules aside).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                devices: self.devices.clone(),
                ..Self::default()
            }
    }
}

impl Group {
    /// Applies limits to the made group.
    ///
    /// # Errors
    /// EINVAL for a value the kernel refuses, EBUSY for a memory limit below what is used, ENOENT for a controller
    /// the host has not.
    pub fn set(&self, limits: &Limits) -> Result<()> {
        match self.version() {
            Version::V1 => self.set_v1(limits)?,
            Version::V2 => self.set_v2(limits)?,
        }
        limits
            .devices
            .as_ref()
            .map_or(Ok(()), |rules| self.set_devices(rules))
    }

    pub(super) fn need(&self, controller: &str) -> Result<&Path> {
        self.dir(controller).ok_or_else(|| {
            Error::new(
                format!("find {controller} cgroup controller"),
                Errno::ENOENT,
            )
        })
    }

    fn set_v1(&self, l: &Limits) -> Result<()> {
        self.set_memory_v1(l)?;
        let put = |controller: &str, file: &str, value: Option<String>| match value {
            Some(value) => write(&self.need(controller)?.join(file), &value),
            None => Ok(()),
        };
        put(
            "memory",
            "memory.soft_limit_in_bytes",
            l.memory_reservation.map(|v| v.to_string()),
        )?;
        put(
            "memory",
            "memory.swappiness",
            l.swappiness.map(|v| v.to_string()),
        )?;
        put(
            "memory",
            "memory.oom_control",
            l.oom_kill_disable.map(|v| u8::from(v).to_string()),
        )?;
        put(
            "cpu",
            "cpu.shares",
            l.cpu_shares.filter(|v| *v > 0).map(|v| v.to_string()),
        )?;
        put(
            "cpu",
            "cpu.cfs_period_us",
            l.cpu_period.filter(|v| *v > 0).map(|v| v.to_string()),
        )?;
        put(
            "cpu",
            "cpu.cfs_quota_us",
            l.cpu_quota.filter(|v| *v != 0).map(|v| v.to_string()),
        )?;
        put(
            "pids",
            "pids.max",
            l.pids.filter(|v| *v != 0).map(limit_or_max),
        )?;
        put(
            "blkio",
            "blkio.weight",
            l.blkio_weight.map(|v| v.to_string()),
        )?;
        for (size, bytes) in &l.hugepages {
            put(
                "hugetlb",
                &format!("hugetlb.{size}.limit_in_bytes"),
                Some(bytes.to_string()),
            )?;
        }
        if l.cpuset_cpus.is_some() || l.cpuset_mems.is_some() {
            let dir = self.need("cpuset")?;
            inherit_cpuset(dir)?;
            put("cpuset", "cpuset.cpus", l.cpuset_cpus.clone())?;
            put("cpuset", "cpuset.mems", l.cpuset_mems.clone())?;
        }
        Ok(())
    }

    /// memory <= memory+swap must hold after each single write, so a raise goes in the other order than a cut.
    fn set_memory_v1(&self, l: &Limits) -> Result<()> {
        if l.memory.is_none() && l.memory_swap.is_none() {
            return Ok(());
        }
        let dir = self.need("memory")?;
        let memory = |v: i64| write(&dir.join("memory.limit_in_bytes"), &v.to_string());
        let both = |v: i64| match write(&dir.join("memory.memsw.limit_in_bytes"), &v.to_string()) {
            // Swap accounting may be switched off on the kernel's command line: then there is no such file.
            Err(e) if e.errno() == Errno::ENOENT => Ok(()),
            other => other,
        };
        let swap = l.memory_swap.filter(|v| *v != 0);
        match (l.memory.filter(|v| *v != 0), swap) {
            (Some(m), Some(s)) => match memory(m) {
                Err(e) if e.errno() == Errno::EINVAL => both(s).and_then(|()| memory(m)),
                other => other.and_then(|()| both(s)),
            },
            (Some(m), None) => memory(m),
            (None, Some(s)) => both(s),
            (None, None) => Ok(()),
        }
    }

    fn set_v2(&self, l: &Limits) -> Result<()> {
        let dir = self.need("")?;
        enable_controllers(dir, l);
        let put = |file: &str, value: Option<String>| {
            value.map_or(Ok(()), |v| write(&dir.join(file), &v))
        };
        put("memory.max", l.memory.filter(|v| *v != 0).map(limit_or_max))?;
        if let Some(swap) = swap_only(l.memory, l.memory_swap) {
            match write(&dir.join("memory.swap.max"), &swap) {
                Err(e) if e.errno() != Errno::ENOENT => return Err(e),
                _ => {}
            }
        }
        put(
            "memory.low",
            l.memory_reservation
                .filter(|v| *v > 0)
                .map(|v| v.to_string()),
        )?;
        put(
            "cpu.weight",
            l.cpu_shares
                .filter(|v| *v > 0)
                .map(|s| weight(s).to_string()),
        )?;
        if l.cpu_quota.is_some() || l.cpu_period.is_some() {
            let quota = l
                .cpu_quota
                .filter(|q| *q > 0)
                .map_or("max".into(), |q| q.to_string());
            put(
                "cpu.max",
                Some(format!(
                    "{quota} {}",
                    l.cpu_period.filter(|p| *p > 0).unwrap_or(100_000)
                )),
            )?;
        }
        put("cpuset.cpus", l.cpuset_cpus.clone())?;
        put("cpuset.mems", l.cpuset_mems.clone())?;
        put("pids.max", l.pids.filter(|v| *v != 0).map(limit_or_max))?;
        put(
            "io.weight",
            l.blkio_weight
                .map(|w| (1 + (u64::from(w).max(10) - 10) * 9999 / 990).to_string()),
        )?;
        for (size, bytes) in &l.hugepages {
            put(&format!("hugetlb.{size}.max"), Some(bytes.to_string()))?;
        }
        for (file, value) in &l.unified {
            if file.contains('/') {
                return Err(Error::new(
                    format!("set cgroup file {file:?}"),
                    Errno::EINVAL,
                ));
            }
            put(file, Some(value.clone()))?;
        }
        Ok(())
    }
}

pub(super) fn limit_or_max(value: i64) -> String {
    if value < 0 {
        "max".into()
    } else {
        value.to_string()
    }
}

/// v1 counts swap on top of memory, v2 alone.
pub(super) fn swap_only(memory: Option<i64>, both: Option<i64>) -> Option<String> {
    match (memory, both?) {
        (_, 0) => None,
        (_, b) if b < 0 => Some("max".into()),
        (Some(m), b) if m > 0 => Some((b - m).max(0).to_string()),
        _ => None,
    }
}

/// 2..=262144 shares onto 1..=10000 weights, as every runtime does.
pub(super) fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// A controller's files appear in a directory when its parent's `cgroup.subtree_control` names it. Errors are left to
/// the write of the limit that needs the file.
fn enable_controllers(dir: &Path, limits: &Limits) {
    let mut names = vec!["memory", "cpu", "pids"];
    names.extend(
        limits
            .extra_controllers()
            .iter()
            .map(|c| if *c == "blkio" { "io" } else { *c }),
    );
    let mut ups: Vec<PathBuf> = dir
        .ancestors()
        .skip(1)
        .take_while(|d| super::is_group(d))
        .map(Into::into)
        .collect();
    ups.reverse();
    for up in ups {
        let has = read(&up.join("cgroup.subtree_control")).unwrap_or_default();
        for name in &names {
            if !has.split_whitespace().any(|h| h == *name) {
                let _ = write(&up.join("cgroup.subtree_control"), &format!("+{name}"));
            }
        }
    }
}

/// A new v1 cpuset is empty, and nothing can be attached to it: copy from the parent, top down.
pub(super) fn inherit_cpuset(dir: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !read(&dir.join(file))?.trim().is_empty() {
            continue;
        }
        let parent = dir
            .parent()
            .ok_or_else(|| Error::new("find parent cpuset", Errno::ENOENT))?;
        if read(&parent.join(file))?.trim().is_empty() {
            inherit_cpuset(parent)?;
        }
        write(&dir.join(file), read(&parent.join(file))?.trim())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_swap_translate() {
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
        assert_eq!(swap_only(Some(100), Some(150)).as_deref(), Some("50"));
        assert_eq!(swap_only(Some(100), Some(-1)).as_deref(), Some("max"));
        assert_eq!(swap_only(Some(100), Some(100)).as_deref(), Some("0"));
        assert_eq!(swap_only(None, Some(100)), None);
    }

    #[test]
    fn only_asked_controllers_are_added() {
        assert!(Limits::default().extra_controllers().is_empty());
        let l = Limits {
            cpuset_cpus: Some("0".into()),
            blkio_weight: Some(100),
            ..Limits::default()
        };
        assert_eq!(l.extra_controllers(), ["cpuset", "blkio"]);
        assert!(!l.is_empty());
    }
}
