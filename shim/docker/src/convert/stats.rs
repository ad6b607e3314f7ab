//! A container's figures as `docker stats` is given them: the names and sums are those dockerd has for each version of
//! cgroups, since its clients compute percentages from them.

use gantry_engine::Sample;
use gantry_model::Timestamp;
use gantry_model::container::Container;
use gantry_model::supervisor::{BlockIo, Stats};
use serde_json::{Map, Value, json};

/// Lines of memory.stat dockerd shows on cgroup v1; each but the limits has a sum of the tree too.
const V1: &[&str] = &[
    "cache",
    "rss",
    "rss_huge",
    "mapped_file",
    "dirty",
    "writeback",
    "pgpgin",
    "pgpgout",
    "pgfault",
    "pgmajfault",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
];
/// Those on cgroup v2.
const V2: &[&str] = &[
    "anon",
    "file",
    "kernel_stack",
    "slab",
    "sock",
    "shmem",
    "file_mapped",
    "file_dirty",
    "file_writeback",
    "anon_thp",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
    "slab_reclaimable",
    "slab_unreclaimable",
    "pgfault",
    "pgmajfault",
    "workingset_refault",
    "workingset_activate",
    "workingset_nodereclaim",
    "pgrefill",
    "pgscan",
    "pgsteal",
    "pgactivate",
    "pgdeactivate",
    "pglazyfree",
    "pglazyfreed",
    "thp_fault_alloc",
    "thp_collapse_alloc",
];

/// What the host adds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfHost {
    /// CPUs.
    pub(crate) cpus: usize,
    /// Bytes of memory.
    pub(crate) memory: u64,
}

/// One line: the figures now, and the CPU's at the reading before. Without any (it does not run) everything is zero.
pub(crate) fn shown(
    container: &Container,
    now: Option<&Sample>,
    before: Option<&Sample>,
    host: OfHost,
) -> Value {
    let at = |sample: Option<&Sample>| sample.map_or(Timestamp(0), |s| s.stats.at).rfc3339();
    let stats = now.map(|sample| &sample.stats);
    let mut shown = json!({
        "id": container.id.as_str(),
        "name": format!("/{}", container.name),
        "os_type": "linux",
        "read": at(now),
        "preread": at(before),
        "num_procs": 0,
        "pids_stats": stats.map_or_else(|| json!({}), pids),
        "cpu_stats": cpu(now, host.cpus),
        "precpu_stats": cpu(before, host.cpus),
        "memory_stats": stats.map_or_else(|| json!({}), |stats| memory(stats, host.memory)),
        "blkio_stats": block_io(stats),
        "storage_stats": {},
    });
    let networks = stats.map(networks).unwrap_or_default();
    if !networks.is_empty() {
        shown["networks"] = Value::Object(networks);
    }
    shown
}

/// v1's memory.stat sums up the tree, v2's has no such lines.
fn is_v1(stats: &Stats) -> bool {
    stats.memory_stat.contains_key("total_cache")
}

fn pids(stats: &Stats) -> Value {
    // "No limit" is the largest number there is.
    let limit = if stats.pids_limit == 0 {
        u64::MAX
    } else {
        stats.pids_limit
    };
    json!({ "current": stats.pids, "limit": limit })
}

fn cpu(sample: Option<&Sample>, cpus: usize) -> Value {
    let none = Sample::default();
    let Sample { stats, system_cpu } = sample.unwrap_or(&none);
    let mut shown = json!({
        "cpu_usage": {
            "total_usage": stats.cpu_total,
            "usage_in_kernelmode": stats.cpu_system,
            "usage_in_usermode": stats.cpu_user,
        },
        "throttling_data": {
            "periods": stats.throttling.periods,
            "throttled_periods": stats.throttling.throttled,
            "throttled_time": stats.throttling.time,
        },
    });
    if sample.is_some() {
        shown["system_cpu_usage"] = json!(system_cpu);
        shown["online_cpus"] = json!(cpus);
    }
    if !stats.cpu_per_core.is_empty() {
        shown["cpu_usage"]["percpu_usage"] = json!(stats.cpu_per_core);
    }
    shown
}

fn memory(stats: &Stats, host: u64) -> Value {
    let line = |name: &str| json!(stats.memory_stat.get(name).copied().unwrap_or(0));
    let mut lines = Map::new();
    if is_v1(stats) {
        for name in V1 {
            let sum = format!("total_{name}");
            lines.insert((*name).to_owned(), line(name));
            lines.insert(sum.clone(), line(&sum));
        }
        for name in ["memory", "memsw"] {
            let name = format!("hierarchical_{name}_limit");
            lines.insert(name.clone(), line(&name));
        }
    } else {
        for name in V2 {
            lines.insert((*name).to_owned(), line(name));
        }
    }
    // Without a limit of its own the host's memory is the limit.
    let limit = match stats.memory_limit {
        0 => host,
        limit if host > 0 => limit.min(host),
        limit => limit,
    };
    let mut shown = json!({ "usage": stats.memory_usage, "stats": lines, "limit": limit });
    for (name, number) in [
        ("max_usage", stats.memory_peak),
        ("failcnt", stats.memory_failures),
    ] {
        // v2's peak is none of dockerd's figures.
        if number > 0 && (name == "failcnt" || is_v1(stats)) {
            shown[name] = json!(number);
        }
    }
    shown
}

fn block_io(stats: Option<&Stats>) -> Value {
    let v1 = stats.is_some_and(is_v1);
    let (read, write) = if v1 {
        ("Read", "Write")
    } else {
        ("read", "write")
    };
    let rows = |of: fn(&BlockIo) -> (u64, u64)| -> Value {
        let Some(stats) = stats else {
            return Value::Null;
        };
        stats
            .block_io
            .iter()
            .flat_map(|device| {
                let (reads, writes) = of(device);
                [(read, reads), (write, writes)].map(|(op, value)| {
                    json!({ "major": device.major, "minor": device.minor, "op": op, "value": value })
                })
            })
            .collect()
    };
    // v1 has further files nobody fills any more; of v2 dockerd shows the bytes alone.
    let empty = if v1 { json!([]) } else { Value::Null };
    json!({
        "io_service_bytes_recursive": rows(|d| (d.read_bytes, d.write_bytes)),
        "io_serviced_recursive": if v1 { rows(|d| (d.reads, d.writes)) } else { Value::Null },
        "io_queue_recursive": empty,
        "io_service_time_recursive": empty,
        "io_wait_time_recursive": empty,
        "io_merged_recursive": empty,
        "io_time_recursive": empty,
        "sectors_recursive": empty,
    })
}

fn networks(stats: &Stats) -> Map<String, Value> {
    let outside = stats.interfaces.iter().filter(|one| one.name != "lo");
    let counters = outside.map(|one| {
        let shown = json!({
            "rx_bytes": one.rx_bytes, "rx_packets": one.rx_packets,
            "rx_errors": one.rx_errors, "rx_dropped": one.rx_dropped,
            "tx_bytes": one.tx_bytes, "tx_packets": one.tx_packets,
            "tx_errors": one.tx_errors, "tx_dropped": one.tx_dropped,
        });
        (one.name.clone(), shown)
    });
    counters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::supervisor::{InterfaceCounters, Throttling};

    const HOST: OfHost = OfHost {
        cpus: 4,
        memory: 1000,
    };

    fn sample(lines: &[(&str, u64)]) -> Sample {
        Sample {
            system_cpu: 77,
            stats: Stats {
                cpu_total: 5,
                memory_usage: 300,
                memory_limit: 5000,
                memory_peak: 400,
                memory_failures: 2,
                pids: 3,
                throttling: Throttling {
                    periods: 1,
                    throttled: 2,
                    time: 3,
                },
                memory_stat: lines.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect(),
                block_io: vec![BlockIo {
                    major: 8,
                    minor: 1,
                    read_bytes: 10,
                    write_bytes: 20,
                    reads: 1,
                    writes: 2,
                }],
                interfaces: ["lo", "eth0"]
                    .map(|name| InterfaceCounters {
                        name: name.into(),
                        rx_bytes: 9,
                        ..InterfaceCounters::default()
                    })
                    .into(),
                ..Stats::default()
            },
        }
    }

    #[test]
    fn figures_of_version_1() {
        let sample = sample(&[
            ("total_inactive_file", 100),
            ("total_cache", 1),
            ("swap", 9),
        ]);
        let line = shown(&container(), Some(&sample), None, HOST);
        let memory = &line["memory_stats"];
        assert_eq!(memory["stats"]["total_inactive_file"], 100);
        assert_eq!(
            memory["stats"]["swap"],
            Value::Null,
            "dockerd does not show it"
        );
        assert_eq!(
            (&memory["limit"], &memory["max_usage"], &memory["failcnt"]),
            (&json!(1000), &json!(400), &json!(2)),
            "more than the host has is the host's"
        );
        let io = &line["blkio_stats"];
        assert_eq!(
            io["io_service_bytes_recursive"][1],
            json!({"major": 8, "minor": 1, "op": "Write", "value": 20})
        );
        assert_eq!(io["io_serviced_recursive"][0]["value"], 1);
        assert_eq!(io["sectors_recursive"], json!([]));
        assert_eq!(line["networks"].as_object().unwrap().len(), 1);
        assert_eq!(line["networks"]["eth0"]["rx_bytes"], 9);
        assert_eq!(line["cpu_stats"]["system_cpu_usage"], 77);
        assert_eq!(line["cpu_stats"]["throttling_data"]["throttled_time"], 3);
        assert_eq!(line["precpu_stats"]["system_cpu_usage"], Value::Null);
        assert_eq!(line["pids_stats"]["limit"], u64::MAX);
    }

    #[test]
    fn figures_of_version_2() {
        let sample = sample(&[("inactive_file", 50), ("anon", 1)]);
        let line = shown(&container(), Some(&sample), Some(&sample), HOST);
        assert_eq!(line["memory_stats"]["stats"]["inactive_file"], 50);
        assert_eq!(line["memory_stats"]["max_usage"], Value::Null);
        let io = &line["blkio_stats"];
        assert_eq!(io["io_service_bytes_recursive"][0]["op"], "read");
        assert_eq!(io["io_serviced_recursive"], Value::Null);
        assert_eq!(line["precpu_stats"]["online_cpus"], 4);
    }

    #[test]
    fn one_that_does_not_run_has_none() {
        let line = shown(&container(), None, None, HOST);
        assert_eq!(line["memory_stats"], json!({}));
        assert_eq!(line["pids_stats"], json!({}));
        assert_eq!(line["cpu_stats"]["cpu_usage"]["total_usage"], 0);
        assert_eq!(line["read"], "0001-01-01T00:00:00Z");
        assert_eq!(line["networks"], Value::Null);
    }

    fn container() -> Container {
        super::super::testing::container()
    }
}
