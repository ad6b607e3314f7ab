//! What a container uses, who is in it, and changing what it may use.

use gantry_supervisor_proto::types::{self as t, Namespace};
use gantry_supervisor_proto::{ErrorKind, WireError};
use gantry_sys::Errno;
use gantry_sys::cgroup::{Group, Limits};
use gantry_sys::namespace;

use crate::failure;
use crate::supervisor::Supervisor;
use crate::task::{Phase, Task};

type Result<T> = std::result::Result<T, WireError>;

/// Microseconds of a period when CPUs are given in billionths.
const PERIOD: i64 = 100_000;

impl Supervisor {
    pub(crate) fn processes(&self, id: &str) -> Result<t::Pids> {
        let task = &self.tasks[&self.container(id)?];
        let pids = group_of(task)?.processes().map_err(failure::sys)?;
        Ok(t::Pids { pids })
    }

    pub(crate) fn stats(&self, id: &str) -> Result<t::Stats> {
        let task = &self.tasks[&self.container(id)?];
        let stats = group_of(task)?.stats().map_err(failure::sys)?;
        let or_none = |limit: u64| if limit == u64::MAX { 0 } else { limit };
        let block_io = stats.block_io.iter().map(|io| t::BlockIo {
            major: io.major,
            minor: io.minor,
            read_bytes: io.read_bytes,
            write_bytes: io.write_bytes,
            reads: io.reads,
            writes: io.writes,
        });
        Ok(t::Stats {
            at: gantry_logs::clock::now(),
            cpu_total: stats.cpu_usage_ns,
            cpu_user: stats.cpu_user_ns,
            cpu_system: stats.cpu_system_ns,
            memory_usage: stats.memory_usage,
            memory_inactive_file: stats.memory_inactive_file,
            memory_limit: or_none(stats.memory_limit),
            pids: stats.pids,
            pids_limit: or_none(stats.pids_limit),
            block_io: block_io.collect(),
            cpu_per_core: stats.cpu_per_core_ns,
            throttling_periods: stats.cpu_periods,
            throttled_periods: stats.cpu_throttled_periods,
            throttled_time: stats.cpu_throttled_ns,
            memory_stat: stats.memory_stat,
            memory_peak: stats.memory_peak,
            memory_failures: stats.memory_failures,
            interfaces: self.interfaces(),
        })
    }

    /// Counters of the sandbox's own network namespace, read from inside as the namespaces were made: this process has
    /// one thread. What cannot be read is left out; figures are never worth a failed answer.
    fn interfaces(&self) -> Vec<t::Interface> {
        let own = self.prepared.as_ref();
        let own = own.is_some_and(|p| p.network == Namespace::Own);
        let (true, Some(there), Ok(back)) = (
            own,
            &self.namespaces.network,
            namespace::own(namespace::NET),
        ) else {
            return Vec::new();
        };
        if namespace::enter(there, namespace::NET).is_err() {
            return Vec::new();
        }
        let text = std::fs::read_to_string("/proc/thread-self/net/dev");
        // It worked on the way in with less right than we have on the way out.
        namespace::enter(&back, namespace::NET).expect("return to the host's network namespace");
        text.map_or(Vec::new(), |text| interfaces(&text))
    }

    /// All of it or nothing.
    pub(crate) fn update(&mut self, body: &t::Update) -> Result<()> {
        let key = self.container(&body.id)?;
        let hierarchies = self.hierarchies.as_ref().expect("prepared before");
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        let name = task.name();
        group_of(task)?;
        if matches!(task.phase, Phase::Making(_)) {
            return Err(WireError::conflict(format!("{name} is being made")));
        }
        let limits = limits(&body.limits)?;
        let group = task.group.as_mut().expect("asked above");
        let done = group.update(hierarchies, &limits);
        done.map_err(|e| refused(&name, &e))
    }
}

fn group_of(task: &Task) -> Result<&Group> {
    let group = task.group.as_ref().filter(|_| !task.is_ended());
    group.ok_or_else(|| WireError::conflict(format!("{} is not running", task.name())))
}

fn refused(name: &str, error: &gantry_sys::Error) -> WireError {
    let kind = match error.errno() {
        // More than the parent has, a processor that is not there, a number out of range.
        Errno::EINVAL | Errno::ERANGE | Errno::EACCES | Errno::ENOSPC | Errno::EOVERFLOW => {
            ErrorKind::InvalidArgument
        }
        // Less memory than is in use.
        Errno::EBUSY => ErrorKind::Conflict,
        Errno::ENOENT => ErrorKind::FailedPrecondition,
        errno => return failure::of(errno, format!("change limits of {name}: {error}")),
    };
    WireError::new(kind, format!("change limits of {name}: {error}"))
}

fn limits(from: &t::Limits) -> Result<Limits> {
    let unsigned = |what: &str, value: i64| {
        let wrong = |_| WireError::invalid(format!("{what} {value} is negative"));
        let value = (value != 0).then(|| u64::try_from(value).map_err(wrong));
        value.transpose()
    };
    let some = |value: i64| (value != 0).then_some(value);
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let (quota, period) = match from.nano_cpus {
        0 => (
            some(from.cpu_quota),
            unsigned("CPU period", from.cpu_period)?,
        ),
        nano if nano < 0 => (Some(-1), None),
        nano => (
            Some((nano / (1_000_000_000 / PERIOD)).max(1_000)),
            Some(PERIOD.unsigned_abs()),
        ),
    };
    Ok(Limits {
        memory: some(from.memory),
        memory_swap: some(from.memory_swap),
        memory_reservation: some(from.memory_reservation),
        cpu_shares: unsigned("CPU shares", from.cpu_shares)?,
        cpu_quota: quota,
        cpu_period: period,
        cpuset_cpus: text(&from.cpuset_cpus),
        cpuset_mems: text(&from.cpuset_mems),
        pids: some(from.pids),
        unified: from.unified.clone().into_iter().collect(),
        ..Limits::default()
    })
}

/// Lines of /proc/net/dev (proc_pid_net(5)): name, eight numbers received, eight sent. Loopback is nobody's traffic.
fn interfaces(text: &str) -> Vec<t::Interface> {
    let line = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let n: Vec<u64> = rest
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        let name = name.trim();
        if name == "lo" || n.len() < 12 {
            return None;
        }
        Some(t::Interface {
            name: name.to_owned(),
            rx_bytes: n[0],
            rx_packets: n[1],
            rx_errors: n[2],
            rx_dropped: n[3],
            tx_bytes: n[8],
            tx_packets: n[9],
            tx_errors: n[10],
            tx_dropped: n[11],
        })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_without_lo() {
        let text = "Inter-|   Receive  |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:      84       1    0    0    0     0          0         0       84       1    0    0    0     0       0          0
  eth0: 1500 10 1 2 0 0 0 0 3000 20 3 4 0 0 0 0
";
        let found = interfaces(text);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (
                found[0].name.as_str(),
                found[0].rx_bytes,
                found[0].rx_dropped
            ),
            ("eth0", 1500, 2)
        );
        assert_eq!((found[0].tx_bytes, found[0].tx_dropped), (3000, 4));
    }

    #[test]
    fn cpus_become_a_quota_and_nothing_stays_nothing() {
        let made = limits(&t::Limits {
            nano_cpus: 1_500_000_000,
            pids: -1,
            ..t::Limits::default()
        })
        .unwrap();
        assert_eq!(
            (made.cpu_quota, made.cpu_period),
            (Some(150_000), Some(100_000))
        );
        assert_eq!((made.pids, made.memory), (Some(-1), None));
        assert_eq!(limits(&t::Limits::default()).unwrap(), Limits::default());
        let wrong = t::Limits {
            cpu_shares: -5,
            ..t::Limits::default()
        };
        assert_eq!(limits(&wrong).unwrap_err().kind, ErrorKind::InvalidArgument);
    }
}
