//! The body of `POST /containers/{id}/update`, laid over what a container has.

use gantry_model::container::{ContainerSpec, Resources};
use gantry_model::policy::{RestartPolicy, RestartSpec};
use serde_json::{Value, json};

use super::body::{self, HostConfig, says_nothing};
use super::{limits, restart};
use crate::response::Failure;

/// What an update may change.
const HONOURED: &[&str] = &[
    "CpuPeriod",
    "CpuQuota",
    "CpuShares",
    "CpusetCpus",
    "CpusetMems",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "NanoCpus",
    "PidsLimit",
    "RestartPolicy",
];

/// An update, read and checked by itself.
#[derive(Debug)]
pub(crate) struct Wanted {
    config: HostConfig,
    restart: Option<RestartSpec>,
}

/// Reads it, on a host with so many CPUs.
///
/// # Errors
/// 400 in Docker's words, 501 naming an option that cannot be changed yet.
pub(crate) fn read(raw: &Value, cpus: usize) -> Result<Wanted, Failure> {
    for (option, value) in raw.as_object().into_iter().flatten() {
        if !says_nothing(value) && !HONOURED.contains(&option.as_str()) {
            return Err(Failure::not_served(format!(
                "updating {option} is not served by gantry yet"
            )));
        }
    }
    let config: HostConfig = if raw.is_null() {
        HostConfig::default()
    } else {
        body::read(raw.clone())?
    };
    let policy = &config.restart_policy;
    let spec = restart::spec(policy).map_err(Failure::bad_request)?;
    limits::check_update(&config, cpus).map_err(Failure::bad_request)?;
    Ok(Wanted {
        restart: (!policy.name.is_empty()).then_some(spec),
        config,
    })
}

/// Compares it with a container's limits and lays it over the `HostConfig` its inspect shows. Answers what is to be
/// changed; a limit that stays is 0 or empty there.
///
/// # Errors
/// dockerd's words for what cannot be combined with what is there.
pub(crate) fn over(
    wanted: &Wanted,
    spec: &ContainerSpec,
    shown: &mut Value,
) -> Result<(Option<Resources>, Option<RestartSpec>), &'static str> {
    let asked = &wanted.config;
    let has = &spec.resources;
    if asked.nano_cpus > 0 && has.cpu_period > 0 {
        return Err(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        );
    }
    if asked.nano_cpus > 0 && has.cpu_quota > 0 {
        return Err(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
        );
    }
    if asked.cpu_period > 0 && has.nano_cpus > 0 {
        return Err(
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        );
    }
    if asked.cpu_quota > 0 && has.nano_cpus > 0 {
        return Err(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        );
    }
    // Without a word about it a container with a memory limit may swap as much again.
    let swap = if has.memory > 0 && has.memory_swap == 0 {
        has.memory.saturating_mul(2)
    } else {
        has.memory_swap
    };
    if asked.memory != 0 && asked.memory_swap == 0 && asked.memory > swap {
        return Err(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
    }
    if spec.auto_remove
        && wanted
            .restart
            .is_some_and(|new| new.policy != RestartPolicy::No)
    {
        return Err(
            "Restart policy cannot be updated because AutoRemove is enabled for the container",
        );
    }
    let mut change = Resources::default();
    let mut show = |option: &str, value: Value| {
        if let Some(all) = shown.as_object_mut() {
            all.insert(option.to_owned(), value);
        }
    };
    for (option, new, to) in [
        ("CpuShares", asked.cpu_shares, &mut change.cpu_shares),
        ("NanoCpus", asked.nano_cpus, &mut change.nano_cpus),
        ("CpuPeriod", asked.cpu_period, &mut change.cpu_period),
        ("CpuQuota", asked.cpu_quota, &mut change.cpu_quota),
        ("Memory", asked.memory, &mut change.memory),
        ("MemorySwap", asked.memory_swap, &mut change.memory_swap),
        (
            "MemoryReservation",
            asked.memory_reservation,
            &mut change.memory_reservation,
        ),
    ] {
        if new != 0 {
            *to = new;
            show(option, json!(new));
        }
    }
    for (option, new, to) in [
        ("CpusetCpus", &asked.cpuset_cpus, &mut change.cpuset_cpus),
        ("CpusetMems", &asked.cpuset_mems, &mut change.cpuset_mems),
    ] {
        if !new.is_empty() {
            to.clone_from(new);
            show(option, json!(new));
        }
    }
    if let Some(limit) = asked.pids_limit {
        // 0 and every negative number mean "no limit".
        change.pids_limit = Some(if limit > 0 { limit } else { -1 });
        show("PidsLimit", json!(limit.max(0)));
    }
    if change.memory != 0 && change.memory_swap == 0 {
        change.memory_swap = swap;
    }
    let resources = (change != Resources::default()).then_some(change);
    if let (Some(policy), Some(all)) = (wanted.restart, shown.as_object_mut()) {
        all.insert("RestartPolicy".into(), restart::shown(policy));
    }
    Ok((resources, wanted.restart))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(raw: Value) -> ContainerSpec {
        ContainerSpec {
            auto_remove: raw["AutoRemove"] == true,
            resources: limits::resources(&body::read(raw).unwrap(), 4).unwrap(),
            ..ContainerSpec::default()
        }
    }

    #[test]
    fn only_what_is_said_changes() {
        let spec = spec(json!({"Memory": 64 << 20, "CpuShares": 100}));
        let mut shown = json!({"Memory": 64 << 20, "MemorySwap": 128 << 20, "CpuShares": 100});
        let wanted = read(
            &json!({
                "Memory": 32 << 20, "CpuShares": 0, "CpusetCpus": "0-1", "PidsLimit": -1, "Devices": null,
                "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
            }),
            4,
        )
        .unwrap();
        let (resources, restart) = over(&wanted, &spec, &mut shown).unwrap();
        let resources = resources.unwrap();
        assert_eq!(
            (resources.memory, resources.memory_swap),
            (32 << 20, 128 << 20)
        );
        assert_eq!((resources.cpu_shares, resources.pids_limit), (0, Some(-1)));
        assert_eq!(resources.cpuset_cpus, "0-1");
        assert_eq!(restart, None);
        assert_eq!(
            shown,
            json!({
                "Memory": 32 << 20, "MemorySwap": 128 << 20, "CpuShares": 100, "CpusetCpus": "0-1", "PidsLimit": 0,
            })
        );
    }

    #[test]
    fn a_policy_alone_touches_no_limit() {
        let mut shown = json!({});
        let wanted = read(
            &json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}),
            4,
        )
        .unwrap();
        let (resources, restart) = over(&wanted, &spec(json!({})), &mut shown).unwrap();
        assert_eq!(resources, None);
        assert_eq!(restart.unwrap().max_retries, 2);
        assert_eq!(
            shown["RestartPolicy"],
            json!({"Name": "on-failure", "MaximumRetryCount": 2})
        );
    }

    #[test]
    fn what_cannot_be_combined_is_refused_in_dockers_words() {
        for (has, asked, text) in [
            (
                json!({"CpuPeriod": 10_000}),
                json!({"NanoCpus": 1}),
                "as CPU Period has already",
            ),
            (
                json!({"CpuQuota": 10_000}),
                json!({"NanoCpus": 1}),
                "as CPU Quota has already",
            ),
            (
                json!({"NanoCpus": 1}),
                json!({"CpuPeriod": 10_000}),
                "CPU Period cannot be",
            ),
            (
                json!({"NanoCpus": 1}),
                json!({"CpuQuota": 10_000}),
                "CPU Quota cannot be",
            ),
            (
                json!({}),
                json!({"Memory": 64 << 20}),
                "update the memoryswap at the same time",
            ),
            (
                json!({"AutoRemove": true}),
                json!({"RestartPolicy": {"Name": "always"}}),
                "because AutoRemove is enabled",
            ),
        ] {
            let wanted = read(&asked, 4).unwrap();
            let refused = over(&wanted, &spec(has), &mut json!({})).unwrap_err();
            assert!(refused.contains(text), "{asked} {refused}");
        }
        for (asked, status, text) in [
            (json!({"BlkioWeight": 10}), 501, "BlkioWeight"),
            (json!({"Memory": 1}), 400, "Minimum memory limit"),
            (
                json!({"NanoCpus": 1, "CpuQuota": 5000}),
                400,
                "Conflicting options",
            ),
            (
                json!({"RestartPolicy": {"Name": "x"}}),
                400,
                "unknown policy 'x'",
            ),
        ] {
            let failure = read(&asked, 4).unwrap_err();
            assert_eq!(failure.status.as_u16(), status, "{asked}");
            assert!(failure.message.contains(text), "{}", failure.message);
        }
        read(&json!({"MemorySwap": 64 << 20}), 4).unwrap();
    }
}
