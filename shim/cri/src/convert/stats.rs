//! A container's figures. Only what its cgroup tells; file systems are not measured yet, so they are absent, not zero.

use gantry_cri_api::v1;
use gantry_model::container::Container;
use gantry_model::supervisor::Stats;

use super::hashed;

/// Shows the figures of one container.
pub(crate) fn view(container: &Container, stats: &Stats) -> v1::ContainerStats {
    let value = |value| Some(v1::UInt64Value { value });
    // What the kernel could not take back at once; kubelet evicts by it.
    let working_set = stats
        .memory_usage
        .saturating_sub(stats.memory_inactive_file);
    v1::ContainerStats {
        attributes: Some(v1::ContainerAttributes {
            id: container.id.to_string(),
            metadata: Some(v1::ContainerMetadata {
                name: container.cri_name.clone(),
                attempt: container.attempt,
            }),
            labels: hashed(&container.spec.labels),
            annotations: hashed(&container.spec.annotations),
        }),
        cpu: Some(v1::CpuUsage {
            timestamp: stats.at.0,
            usage_core_nano_seconds: value(stats.cpu_total),
            ..Default::default()
        }),
        memory: Some(v1::MemoryUsage {
            timestamp: stats.at.0,
            working_set_bytes: value(working_set),
            usage_bytes: value(stats.memory_usage),
            available_bytes: (stats.memory_limit > 0).then(|| v1::UInt64Value {
                value: stats.memory_limit.saturating_sub(working_set),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}
