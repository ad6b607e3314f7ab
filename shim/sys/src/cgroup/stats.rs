//! Reading what a group uses.

use super::{Group, Version, read};
use crate::error::Result;
use std::collections::BTreeMap;
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
    /// Nanoseconds of each processor; empty on v2, which does not tell.
    pub cpu_per_core_ns: Vec<u64>,
    /// Every line of memory.stat.
    pub memory_stat: BTreeMap<String, u64>,
    /// How often the memory limit was met.
    pub memory_failures: u64,
    /// Traffic by block device.
    pub block_io: Vec<BlockIo>,
}

/// Traffic with one block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
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
            s.memory_stat = lines(&stat);
            s.memory_failures = number(&d.join("memory.failcnt"));
        }
        if let Some(d) = self.dir("cpuacct") {
            s.cpu_usage_ns = number(&d.join("cpuacct.usage"));
            s.cpu_user_ns = number(&d.join("cpuacct.usage_user"));
            s.cpu_system_ns = number(&d.join("cpuacct.usage_sys"));
            let cores = read(&d.join("cpuacct.usage_percpu")).unwrap_or_default();
            s.cpu_per_core_ns = cores
                .split_whitespace()
                .filter_map(|n| n.parse().ok())
                .collect();
        }
        if let Some(d) = self.dir("blkio") {
            let file = |name: &str| read(&d.join(format!("blkio.throttle.{name}_recursive")));
            s.block_io = block_io_v1(
                &file("io_service_bytes").unwrap_or_default(),
                &file("io_serviced").unwrap_or_default(),
            );
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
        s.memory_stat = lines(&stat);
        s.memory_failures = keyed(&d.join("memory.events"), "max");
        s.block_io = block_io_v2(&read(&d.join("io.stat")).unwrap_or_default());
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

/// All `name value` lines.
fn lines(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Lines `8:0 Read 4096` of two files; the totals at their ends name no device.
fn block_io_v1(bytes: &str, counts: &str) -> Vec<BlockIo> {
    let mut found: BTreeMap<(u32, u32), BlockIo> = BTreeMap::new();
    for (text, in_bytes) in [(bytes, true), (counts, false)] {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(kind), Some(value)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let (Some(device), Ok(value)) = (device(name), value.parse()) else {
                continue;
            };
            let entry = found.entry(device).or_default();
            match (kind, in_bytes) {
                ("Read", true) => entry.read_bytes = value,
                ("Write", true) => entry.write_bytes = value,
                ("Read", false) => entry.reads = value,
                ("Write", false) => entry.writes = value,
                _ => {}
            }
        }
    }
    let named = |((major, minor), io)| BlockIo { major, minor, ..io };
    found.into_iter().map(named).collect()
}

/// Lines `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
fn block_io_v2(text: &str) -> Vec<BlockIo> {
    let line = |line: &str| {
        let (name, rest) = line.split_once(' ')?;
        let (major, minor) = device(name)?;
        let value = |key: &str| {
            let of_it = |word: &str| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok();
            rest.split_whitespace().find_map(of_it).unwrap_or(0)
        };
        Some(BlockIo {
            major,
            minor,
            read_bytes: value("rbytes"),
            write_bytes: value("wbytes"),
            reads: value("rios"),
            writes: value("wios"),
        })
    };
    text.lines().filter_map(line).collect()
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
    fn block_io_of_both_versions_reads_the_same() {
        let bytes =
            "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Total 30\n259:1 Read 1\nTotal 31\n";
        let counts = "8:0 Read 1\n8:0 Write 2\nTotal 3\n";
        let v1 = block_io_v1(bytes, counts);
        let v2 =
            block_io_v2("8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n259:1 rbytes=1\n");
        assert_eq!(v1, v2);
        assert_eq!((v1[0].major, v1[0].write_bytes, v1[0].writes), (8, 20, 2));
        assert_eq!((v1[1].major, v1[1].minor, v1[1].read_bytes), (259, 1, 1));
        assert!(block_io_v2("nonsense\n8 rbytes=1\n").is_empty());
    }

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
