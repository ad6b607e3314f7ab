//! Resource limits: checked with Docker's words, then as the model has them.

use gantry_model::container::{Resources, Ulimit};

use super::body::HostConfig;
use crate::response::Failure;

/// The least memory a container can be started with.
const MIN_MEMORY: i64 = 6 << 20;

/// Reads and checks limits on a host with so many CPUs.
///
/// # Errors
/// 400 in Docker's words.
pub(crate) fn resources(config: &HostConfig, cpus: usize) -> Result<Resources, Failure> {
    check(config, cpus, false).map_err(Failure::bad_request)?;
    let positive = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(Resources {
        memory: config.memory,
        memory_swap: config.memory_swap,
        memory_reservation: config.memory_reservation,
        nano_cpus: config.nano_cpus,
        cpu_quota: config.cpu_quota,
        cpu_period: config.cpu_period,
        cpu_shares: config.cpu_shares,
        cpuset_cpus: config.cpuset_cpus.clone(),
        cpuset_mems: config.cpuset_mems.clone(),
        pids_limit: config.pids_limit.filter(|limit| *limit > 0),
        oom_score_adj: config.oom_score_adj,
        ulimits: config
            .ulimits
            .iter()
            .map(|limit| Ulimit {
                name: limit.name.clone(),
                // -1 is "unlimited", which getrlimit(2) writes as all ones.
                soft: positive(limit.soft),
                hard: positive(limit.hard),
            })
            .collect(),
        shm_size: config.shm_size,
        ..Resources::default()
    })
}

/// Checks an update's limits by themselves.
///
/// # Errors
/// Docker's words.
pub(crate) fn check_update(config: &HostConfig, cpus: usize) -> Result<(), String> {
    check(config, cpus, true)
}

fn check(config: &HostConfig, cpus: usize, update: bool) -> Result<(), String> {
    let memory = config.memory;
    if memory < 0 || (memory > 0 && memory < MIN_MEMORY) {
        return Err("Minimum memory limit allowed is 6MB".into());
    }
    if config.memory_swap > 0 && memory == 0 && !update {
        return Err(
            "You should always set the Memory limit when using Memoryswap limit, see usage".into(),
        );
    }
    if memory > 0 && config.memory_swap > 0 && config.memory_swap < memory {
        return Err(
            "Minimum memoryswap limit should be larger than memory limit, see usage".into(),
        );
    }
    if config.memory_reservation < 0
        || (config.memory_reservation > 0 && config.memory_reservation < MIN_MEMORY)
    {
        return Err("Minimum memory reservation allowed is 6MB".into());
    }
    if memory > 0 && memory < config.memory_reservation {
        return Err(
            "Minimum memory limit can not be less than memory reservation limit, see usage".into(),
        );
    }
    let most = i64::try_from(cpus)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000_000);
    if config.nano_cpus < 0 || config.nano_cpus > most {
        return Err(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        ));
    }
    for (option, number) in [("Period", config.cpu_period), ("Quota", config.cpu_quota)] {
        if config.nano_cpus > 0 && number > 0 {
            return Err(format!(
                "Conflicting options: Nano CPUs and CPU {option} cannot both be set"
            ));
        }
    }
    if config.cpu_shares < 0 {
        return Err(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            config.cpu_shares
        ));
    }
    if config.cpu_period != 0 && !(1_000..=1_000_000).contains(&config.cpu_period) {
        return Err(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
                .into(),
        );
    }
    if config.cpu_quota > 0 && config.cpu_quota < 1_000 {
        return Err("CPU cfs quota can not be less than 1ms (i.e. 1000)".into());
    }
    if !(-1000..=1000).contains(&config.oom_score_adj) {
        return Err(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            config.oom_score_adj
        ));
    }
    if config.shm_size < 0 {
        return Err("SHM size can not be less than 0".into());
    }
    cpuset(&config.cpuset_cpus, cpus)
}

/// `0-3,7` on so many CPUs.
fn cpuset(text: &str, cpus: usize) -> Result<(), String> {
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (Ok(low), Ok(high)) = (low.trim().parse::<usize>(), high.trim().parse::<usize>())
        else {
            return Err(format!("Invalid value {text} for cpuset cpus"));
        };
        if low > high {
            return Err(format!("Invalid value {text} for cpuset cpus"));
        }
        if high >= cpus {
            let last = cpus.saturating_sub(1);
            return Err(format!(
                "Requested CPUs are not available - requested {text}, available: 0-{last}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::body;
    use super::*;
    use serde_json::json;

    #[test]
    fn impossible_limits_are_named() {
        for (raw, text) in [
            (json!({"Memory": 1}), "Minimum memory limit"),
            (json!({"Memory": -5}), "Minimum memory limit"),
            (
                json!({"MemorySwap": 10_000_000}),
                "always set the Memory limit",
            ),
            (
                json!({"Memory": 10_000_000, "MemorySwap": 9_000_000}),
                "memoryswap limit should be larger",
            ),
            (
                json!({"Memory": 7_000_000, "MemoryReservation": 8_000_000}),
                "memory reservation limit",
            ),
            (
                json!({"NanoCpus": 3_000_000_000_i64}),
                "only 2 CPUs available",
            ),
            (
                json!({"NanoCpus": 1, "CpuQuota": 5000}),
                "Conflicting options",
            ),
            (json!({"CpuPeriod": 1}), "cfs period"),
            (json!({"CpuShares": -1}), "CPU shares"),
            (json!({"OomScoreAdj": 1001}), "oom score adj"),
            (
                json!({"CpusetCpus": "0-7"}),
                "requested 0-7, available: 0-1",
            ),
            (json!({"CpusetCpus": "a"}), "Invalid value a"),
        ] {
            let failure = resources(&body::read(raw.clone()).unwrap(), 2).unwrap_err();
            assert_eq!(failure.status.as_u16(), 400);
            assert!(failure.message.contains(text), "{raw} {}", failure.message);
        }
    }

    #[test]
    fn possible_ones_come_through() {
        let raw = json!({
            "Memory": 64 << 20, "NanoCpus": 500_000_000, "PidsLimit": 50, "CpusetCpus": "0,1",
            "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": -1}],
        });
        let read = resources(&body::read(raw).unwrap(), 2).unwrap();
        assert_eq!(
            (read.memory, read.nano_cpus, read.pids_limit),
            (64 << 20, 500_000_000, Some(50))
        );
        assert_eq!((read.ulimits[0].soft, read.ulimits[0].hard), (10, u64::MAX));
        let none = resources(&body::read(json!({"PidsLimit": -1})).unwrap(), 2).unwrap();
        assert_eq!(none.pids_limit, None);
    }
}
