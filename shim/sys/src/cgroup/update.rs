//! Changing the limits of a group that has processes in it: every write is remembered, and what was written is set back
//! when a later one is refused, so that a change happens as a whole or not at all.

use super::limits::{inherit_cpuset, limit_or_max, swap_only, weight};
use super::{Group, Hierarchies, Limits, Version, make_dirs, read, write};
use crate::error::{Error, Result};
use nix::errno::Errno;
use std::path::{Path, PathBuf};

/// How often the processes of a group are listed again while they are moved: each time only those that were born
/// meanwhile are left.
const ROUNDS: usize = 100;

/// What was written, and what stood there.
#[derive(Debug, Default)]
struct Written(Vec<(PathBuf, String)>);

impl Written {
    fn put(&mut self, path: PathBuf, value: &str) -> Result<()> {
        let old = read(&path)?;
        if old.trim() == value {
            return Ok(());
        }
        write(&path, value)?;
        self.0.push((path, old));
        Ok(())
    }

    /// In the opposite order, so that each step was possible before. Answers what could not be set back.
    fn undo(self) -> Vec<Error> {
        let back = |(path, old): (PathBuf, String)| {
            let old = old.trim();
            // An empty cpuset is said by an empty line: a write of nothing is no write.
            write(&path, if old.is_empty() { "\n" } else { old }).err()
        };
        self.0.into_iter().rev().filter_map(back).collect()
    }
}

impl Group {
    /// Changes limits of a group in use: what is `None` stays. Needs `&mut` because a v1 group that had no cpuset gets
    /// one, and its processes are moved there. Device rules, swappiness, huge pages and the like are not changed.
    ///
    /// # Errors
    /// As [`Group::set`]; then what was changed before has been set back, and what could not be is named.
    pub fn update(&mut self, hierarchies: &Hierarchies, limits: &Limits) -> Result<()> {
        let mut written = Written::default();
        let done = match self.version() {
            Version::V1 => self.update_v1(limits, &mut written),
            Version::V2 => self.update_v2(limits, &mut written),
        };
        // Last: a move of processes is the dearest thing to take back.
        let done = done.and_then(|()| self.update_cpuset(hierarchies, limits, &mut written));
        done.map_err(|error| {
            written.undo().into_iter().fold(error, |error, left| {
                error.within(&format!("not set back: {left}"))
            })
        })
    }

    fn update_v1(&self, l: &Limits, written: &mut Written) -> Result<()> {
        self.update_memory_v1(l, written)?;
        let mut put = |controller: &str, file: &str, value: Option<String>| match value {
            Some(value) => written.put(self.need(controller)?.join(file), &value),
            None => Ok(()),
        };
        let number = |v: i64| v.to_string();
        let reservation = l.memory_reservation.filter(|v| *v != 0).map(number);
        put("memory", "memory.soft_limit_in_bytes", reservation)?;
        let shares = l.cpu_shares.filter(|v| *v > 0).map(|v| v.to_string());
        put("cpu", "cpu.shares", shares)?;
        let period = l.cpu_period.filter(|v| *v > 0).map(|v| v.to_string());
        let quota = l.cpu_quota.filter(|v| *v != 0).map(number);
        // Their quotient may not pass the parent's in between: one of the two orders always works when the end does.
        match put("cpu", "cpu.cfs_period_us", period.clone()) {
            Err(e) if e.errno() == Errno::EINVAL && quota.is_some() => {
                put("cpu", "cpu.cfs_quota_us", quota)?;
                put("cpu", "cpu.cfs_period_us", period)?;
            }
            other => {
                other?;
                put("cpu", "cpu.cfs_quota_us", quota)?;
            }
        }
        put(
            "pids",
            "pids.max",
            l.pids.filter(|v| *v != 0).map(limit_or_max),
        )
    }

    /// memory <= memory+swap must hold after each write: a raise past the old sum raises the sum first.
    fn update_memory_v1(&self, l: &Limits, written: &mut Written) -> Result<()> {
        let memory = l.memory.filter(|v| *v != 0);
        let swap = l.memory_swap.filter(|v| *v != 0);
        if memory.is_none() && swap.is_none() {
            return Ok(());
        }
        let dir = self.need("memory")?;
        let both_file = dir.join("memory.memsw.limit_in_bytes");
        // Swap accounting may be switched off on the kernel's command line: then there is no such file.
        let old_both = match read(&both_file) {
            Ok(text) => text.trim().parse::<u64>().unwrap_or(u64::MAX),
            Err(e) if e.errno() == Errno::ENOENT => u64::MAX,
            Err(e) => return Err(e),
        };
        let accounted = is_file(&both_file);
        let put = |file: PathBuf, value: Option<i64>, written: &mut Written| match value {
            Some(value) => written.put(file, &value.to_string()),
            None => Ok(()),
        };
        let limit = || dir.join("memory.limit_in_bytes");
        let raised = memory.is_some_and(|m| u64::try_from(m).unwrap_or(u64::MAX) > old_both);
        if raised && accounted {
            put(both_file, swap, written)?;
            put(limit(), memory, written)
        } else {
            put(limit(), memory, written)?;
            put(both_file, swap.filter(|_| accounted), written)
        }
    }

    fn update_v2(&self, l: &Limits, written: &mut Written) -> Result<()> {
        let dir = self.need("")?;
        let mut put = |file: &str, value: Option<String>| match value {
            Some(value) => written.put(dir.join(file), &value),
            None => Ok(()),
        };
        let memory = l.memory.filter(|v| *v != 0);
        let now = || read(&dir.join("memory.max")).ok()?.trim().parse().ok();
        let swap = swap_only(memory.or_else(now), l.memory_swap);
        put("memory.max", memory.map(limit_or_max))?;
        if is_file(&dir.join("memory.swap.max")) {
            put("memory.swap.max", swap)?;
        }
        let reservation = l.memory_reservation.filter(|v| *v != 0);
        put("memory.low", reservation.map(|v| v.max(0).to_string()))?;
        let shares = l.cpu_shares.filter(|v| *v > 0);
        put("cpu.weight", shares.map(|s| weight(s).to_string()))?;
        put("cpu.max", cpu_max(dir, l))?;
        put("pids.max", l.pids.filter(|v| *v != 0).map(limit_or_max))?;
        for (file, value) in &l.unified {
            if file.contains('/') || file.starts_with("cgroup.") {
                let what = format!("set cgroup file {file:?}");
                return Err(Error::new(what, Errno::EINVAL));
            }
            put(file, Some(value.clone()))?;
        }
        Ok(())
    }

    fn update_cpuset(
        &mut self,
        hierarchies: &Hierarchies,
        l: &Limits,
        written: &mut Written,
    ) -> Result<()> {
        if l.cpuset_cpus.is_none() && l.cpuset_mems.is_none() {
            return Ok(());
        }
        let before = self.dir("cpuset").is_some();
        let mut group = self.clone();
        if !before {
            group.add_cpuset(hierarchies)?;
        }
        let dir = group.need("cpuset")?.to_owned();
        let set = |written: &mut Written| {
            if let Some(cpus) = &l.cpuset_cpus {
                written.put(dir.join("cpuset.cpus"), cpus)?;
            }
            if let Some(mems) = &l.cpuset_mems {
                written.put(dir.join("cpuset.mems"), mems)?;
            }
            Ok(())
        };
        if before {
            return set(written);
        }
        // Nothing is in it yet, so what was written there goes with it.
        let mut fresh = Written::default();
        let done = make_dirs(&dir)
            .and_then(|()| inherit_cpuset(&dir))
            .and_then(|()| set(&mut fresh))
            .and_then(|()| self.move_into(&dir));
        if let Err(error) = done {
            // Processes that were moved go back to the parent, whose processors are those of before.
            let parent = dir.parent().unwrap_or(&dir);
            let back = self
                .move_into(parent)
                .and_then(|()| super::remove_tree(&dir));
            return Err(match back {
                Ok(()) => error,
                Err(left) => error.within(&format!("not set back: {left}")),
            });
        }
        *self = group;
        Ok(())
    }

    /// Names the cpuset directory; touches nothing.
    fn add_cpuset(&mut self, hierarchies: &Hierarchies) -> Result<()> {
        let mount = hierarchies.mounts().iter().find(|(n, _)| n == "cpuset");
        let (name, mount) =
            mount.ok_or_else(|| Error::new("find cpuset cgroup controller", Errno::ENOENT))?;
        let dir = mount.join(self.path());
        self.own.push(dir.clone());
        self.dirs.push((name.clone(), dir));
        Ok(())
    }

    /// Moves all processes into one directory of another hierarchy, until no new one is found.
    fn move_into(&self, dir: &Path) -> Result<()> {
        let file = dir.join("cgroup.procs");
        let mut moved = std::collections::BTreeSet::new();
        for _ in 0..ROUNDS {
            let new: Vec<i32> = self
                .processes()?
                .into_iter()
                .filter(|pid| !moved.contains(pid))
                .collect();
            if new.is_empty() {
                return Ok(());
            }
            for pid in new {
                match write(&file, &pid.to_string()) {
                    // It has ended meanwhile.
                    Err(e) if e.errno() == Errno::ESRCH => {}
                    other => other?,
                }
                moved.insert(pid);
            }
        }
        let what = format!("move the processes of {} to {}", self.path(), dir.display());
        Err(Error::new(what, Errno::EBUSY))
    }
}

/// Asked only of files of a cgroup mount, which no container can write.
fn is_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Quota and period stand in one line; what is not asked for is taken from it.
fn cpu_max(dir: &Path, l: &Limits) -> Option<String> {
    let quota = l.cpu_quota.filter(|q| *q != 0);
    let period = l.cpu_period.filter(|p| *p > 0);
    if quota.is_none() && period.is_none() {
        return None;
    }
    let now = read(&dir.join("cpu.max")).unwrap_or_default();
    let mut words = now.split_whitespace();
    let old_quota = words.next().unwrap_or("max").to_owned();
    let old_period = words.next().unwrap_or("100000").to_owned();
    let quota = quota.map_or(old_quota, limit_or_max);
    let period = period.map_or(old_period, |p| p.to_string());
    Some(format!("{quota} {period}"))
}

#[cfg(test)]
mod tests;
