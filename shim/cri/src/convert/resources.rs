//! Limits of a container, both ways.

use gantry_cri_api::v1;
use gantry_model::container::Resources;
use gantry_model::{Error, Result};

use super::{hashed, sorted};

/// Reads the limits.
///
/// Kubelet names every page size of the host with a limit of 0 for pods that ask for no huge pages; these are passed
/// over, as a host without that cgroup controller wants it.
///
/// # Errors
/// `InvalidArgument` for numbers out of range, `Unimplemented` for a limit on huge pages.
pub(crate) fn spec(resources: v1::LinuxContainerResources) -> Result<Resources> {
    if let Some(limit) = resources
        .hugepage_limits
        .iter()
        .find(|limit| limit.limit > 0)
    {
        return Err(Error::unimplemented(format!(
            "hugepage_limits: a limit of {} bytes on pages of {} is not served yet",
            limit.limit, limit.page_size
        )));
    }
    for (what, value, lowest) in [
        ("cpu_period", resources.cpu_period, 0),
        ("cpu_quota", resources.cpu_quota, -1),
        ("cpu_shares", resources.cpu_shares, 0),
        ("memory_limit_in_bytes", resources.memory_limit_in_bytes, -1),
        (
            "memory_swap_limit_in_bytes",
            resources.memory_swap_limit_in_bytes,
            -1,
        ),
    ] {
        if value < lowest {
            return Err(Error::invalid(format!("{what} {value} is below {lowest}")));
        }
    }
    let adjust = i32::try_from(resources.oom_score_adj)
        .ok()
        .filter(|adjust| (-1000..=1000).contains(adjust))
        .ok_or_else(|| {
            Error::invalid(format!(
                "oom_score_adj {} is not between -1000 and 1000",
                resources.oom_score_adj
            ))
        })?;
    Ok(Resources {
        cpu_period: resources.cpu_period,
        // -1 is the kernel's word for "no quota".
        cpu_quota: resources.cpu_quota.max(0),
        cpu_shares: resources.cpu_shares,
        memory: resources.memory_limit_in_bytes.max(0),
        memory_swap: resources.memory_swap_limit_in_bytes,
        oom_score_adj: adjust,
        cpuset_cpus: resources.cpuset_cpus,
        cpuset_mems: resources.cpuset_mems,
        unified: sorted(resources.unified),
        ..Resources::default()
    })
}

/// Shows the limits.
pub(crate) fn view(resources: &Resources) -> v1::LinuxContainerResources {
    v1::LinuxContainerResources {
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpu_shares: resources.cpu_shares,
        memory_limit_in_bytes: resources.memory,
        memory_swap_limit_in_bytes: resources.memory_swap,
        oom_score_adj: i64::from(resources.oom_score_adj),
        cpuset_cpus: resources.cpuset_cpus.clone(),
        cpuset_mems: resources.cpuset_mems.clone(),
        unified: hashed(&resources.unified),
        hugepage_limits: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{spec, view};
    use gantry_cri_api::v1::{HugepageLimit, LinuxContainerResources as Limits};
    use gantry_model::ErrorKind;

    #[test]
    fn limits_survive_the_way_in_and_out() {
        let limits = Limits {
            cpu_period: 100_000,
            cpu_quota: 50_000,
            cpu_shares: 512,
            memory_limit_in_bytes: 64 << 20,
            memory_swap_limit_in_bytes: 64 << 20,
            oom_score_adj: -998,
            cpuset_cpus: "0-1".into(),
            cpuset_mems: "0".into(),
            unified: [("memory.oom.group".to_owned(), "1".to_owned())].into(),
            hugepage_limits: Vec::new(),
        };
        assert_eq!(view(&spec(limits.clone()).unwrap()), limits);
        let unlimited = spec(Limits {
            cpu_quota: -1,
            ..Default::default()
        });
        assert_eq!(unlimited.unwrap().cpu_quota, 0);
    }

    #[test]
    fn impossible_limits_are_named() {
        for (bad, word) in [
            (
                Limits {
                    memory_limit_in_bytes: -5,
                    ..Default::default()
                },
                "memory_limit_in_bytes",
            ),
            (
                Limits {
                    oom_score_adj: 1001,
                    ..Default::default()
                },
                "oom_score_adj",
            ),
            (
                Limits {
                    cpu_shares: -1,
                    ..Default::default()
                },
                "cpu_shares",
            ),
        ] {
            let error = spec(bad).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidArgument);
            assert!(error.message.contains(word), "{error}");
        }
    }

    #[test]
    fn huge_pages_are_refused_only_where_a_limit_is_wanted() {
        let with = |limit| Limits {
            hugepage_limits: vec![HugepageLimit {
                page_size: "2MB".into(),
                limit,
            }],
            ..Default::default()
        };
        assert!(spec(with(0)).is_ok());
        assert_eq!(spec(with(1)).unwrap_err().kind, ErrorKind::Unimplemented);
    }
}
