//! Reading what a group uses.

use super::{Group, Version, read};
use crate::error::Result;
use std::path::Path;

/// Numbers at one moment. A controller the host has not leaves zeroes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes charged, page cache included.
    pub memory_usage: u64,
    /// Bytes charged at most so far (0 where the kernel does not tell).
    pub memory_peak: u64,
    /// Limit in bytes; `u64::MAX` for none.
    pub memory_limit: u64,
    /// Page cache that can be dropped at once.
    pub memory_inactive_file: u64,
    /// Anonymous memory.
    pub memory_anon: u64,
    /// Page cache.
    pub memory_file: u64,
    /// Page faults since the start.
    pub page_faults: u64,
    /// Page faults that read from disk.
    pub major_page_faults: u64,
    /// CPU time, nanoseconds.
    pub cpu_usage_ns: u64,
    /// Of it in user mode, nanoseconds.
    pub cpu_user_ns: u64,
    /// Of it in the kernel, nanoseconds.
    pub cpu_system_ns: u64,
    /// Periods with a quota, and those that hit it.
    pub cpu_periods: u64,
    /// Periods that were throttled.
    pub cpu_throttled_periods: u64,
    /// Time throttled, nanoseconds.
    pub cpu_throttled_ns: u64,
    /// Tasks.
    pub pids: u64,
    /// Limit of tasks; `u64::MAX` for none.
    pub pids_limit: u64,
}

impl Group {
    /// Reads the numbers. A file that is missing counts as zero; a group that is gone is all zero.
    ///
    /// # Errors
    /// None today; kept so that a host whose files cannot be read may be told apart later.
    pub fn stats(&self) -> Result<Stats> {
        Ok(match self.version() {
            Version::V1 => self.stats_v1(),
            Version::V2 => self.stats_v2(),
        })
    }

    /// How many of the group's processes the kernel has killed for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = if self.version() == Version::V1 {
            "memory.oom_control"
        } else {
            "memory.events"
        };
        self.dir("memory")
            .map_or(0, |d| keyed(&d.join(file), "oom_kill"))
    }

    fn stats_v1(&self) -> Stats {
        let mut s = Stats::default();
        if let Some(d) = self.dir("memory") {
            s.memory_usage = number(&d.join("memory.usage_in_bytes"));
            s.memory_peak = number(&d.join("memory.max_usage_in_bytes"));
            // "No limit" is the largest multiple of the page size; the mark for it here is u64::MAX.
            let limit = number(&d.join("memory.limit_in_bytes"));
            s.memory_limit = if limit >= 0x7fff_ffff_ffff_0000 {
                u64::MAX
            } else {
                limit
            };
            let stat = read(&d.join("memory.stat")).unwrap_or_default();
            s.memory_inactive_file = key(&stat, "total_inactive_file");
            s.memory_anon = key(&stat, "total_rss");
            s.memory_file = key(&stat, "total_cache");
            s.page_faults = key(&stat, "total_pgfault");
            s.major_page_faults = key(&stat, "total_pgmajfault");
        }
        if let Some(d) = self.dir("cpuacct") {
            s.cpu_usage_ns = number(&d.join("cpuacct.usage"));
            s.cpu_user_ns = number(&d.join("cpuacct.usage_user"));
            s.cpu_system_ns = number(&d.join("cpuacct.usage_sys"));
        }
        if let Some(d) = self.dir("cpu") {
            let stat = read(&d.join("cpu.stat")).unwrap_or_default();
            s.cpu_periods = key(&stat, "nr_periods");
            s.cpu_throttled_periods = key(&stat, "nr_throttled");
            s.cpu_throttled_ns = key(&stat, "throttled_time");
        }
        self.stats_pids(&mut s);
        s
    }

    fn stats_v2(&self) -> Stats {
        let mut s = Stats::default();
        let Some(d) = self.dir("") else { return s };
        s.memory_usage = number(&d.join("memory.current"));
        s.memory_peak = number(&d.join("memory.peak"));
        s.memory_limit = number(&d.join("memory.max"));
        let stat = read(&d.join("memory.stat")).unwrap_or_default();
        s.memory_inactive_file = key(&stat, "inactive_file");
        s.memory_anon = key(&stat, "anon");
        s.memory_file = key(&stat, "file");
        s.page_faults = key(&stat, "pgfault");
        s.major_page_faults = key(&stat, "pgmajfault");
        let stat = read(&d.join("cpu.stat")).unwrap_or_default();
        s.cpu_usage_ns = key(&stat, "usage_usec") * 1000;
        s.cpu_user_ns = key(&stat, "user_usec") * 1000;
        s.cpu_system_ns = key(&stat, "system_usec") * 1000;
        s.cpu_periods = key(&stat, "nr_periods");
        s.cpu_throttled_periods = key(&stat, "nr_throttled");
        s.cpu_throttled_ns = key(&stat, "throttled_usec") * 1000;
        self.stats_pids(&mut s);
        s
    }

    fn stats_pids(&self, s: &mut Stats) {
        // An exec's group has a `pids` directory of its own; its numbers are then that process tree's.
        if let Some(d) = self.dir("pids") {
            s.pids = number(&d.join("pids.current"));
            s.pids_limit = number(&d.join("pids.max"));
        }
    }
}

/// A file with one number; `max` is `u64::MAX`, nothing is 0.
fn number(path: &Path) -> u64 {
    match read(path).unwrap_or_default().trim() {
        "max" => u64::MAX,
        text => text.parse().unwrap_or(0),
    }
}

fn keyed(path: &Path, name: &str) -> u64 {
    key(&read(path).unwrap_or_default(), name)
}

/// The value of a `name value` line.
fn key(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(name).and_then(|r| r.strip_prefix(' ')));
    line.and_then(|v| v.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_whole_names() {
        let text = "total_rss_huge 5\ntotal_rss 7\noom_kill_disable 0\noom_kill 3\n";
        assert_eq!(
            (
                key(text, "total_rss"),
                key(text, "oom_kill"),
                key(text, "absent")
            ),
            (7, 3, 0)
        );
    }
}
