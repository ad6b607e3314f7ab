//! Which options of `HostConfig` are honoured. Every other one is refused by its name when it says anything: silently
//! ignoring a limit or an isolation somebody asked for would be a lie.

use serde_json::{Map, Value, json};

use super::body::{HostConfig, says_nothing};
use super::restart;
use crate::response::Failure;

/// Honoured, or without effect on a container (`ContainerIDFile` is the client's own, `ConsoleSize` is followed by a
/// resize).
const HONOURED: &[&str] = &[
    "Annotations",
    "AutoRemove",
    "Binds",
    "CapAdd",
    "CapDrop",
    "CgroupParent",
    "CgroupnsMode",
    "ConsoleSize",
    "ContainerIDFile",
    "CpuPeriod",
    "CpuQuota",
    "CpuShares",
    "CpusetCpus",
    "CpusetMems",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "Init",
    "IpcMode",
    "LogConfig",
    "MaskedPaths",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "Mounts",
    "NanoCpus",
    "NetworkMode",
    "OomScoreAdj",
    "PidMode",
    "PidsLimit",
    "PortBindings",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyPaths",
    "ReadonlyRootfs",
    "RestartPolicy",
    "Runtime",
    "SecurityOpt",
    "ShmSize",
    "Sysctls",
    "Tmpfs",
    "UTSMode",
    "Ulimits",
    "UsernsMode",
    "VolumeDriver",
];

fn not_served(option: &str, value: &str) -> Failure {
    Failure::not_served(format!(
        "HostConfig.{option} {value} is not served by gantry yet"
    ))
}

/// Refuses what is not honoured.
///
/// # Errors
/// 501 naming the option, 400 for a value nobody knows.
pub(crate) fn check(raw: &Value, config: &HostConfig) -> Result<(), Failure> {
    if config.auto_remove && !matches!(config.restart_policy.name.as_str(), "" | "no") {
        return Err(Failure::bad_request(
            "can't create 'AutoRemove' container with restart policy",
        ));
    }
    restart::spec(&config.restart_policy).map_err(Failure::bad_request)?;
    for (option, value) in raw.as_object().into_iter().flatten() {
        let default = match option.as_str() {
            "MemorySwappiness" => value.as_i64() == Some(-1),
            "Isolation" => value == "default",
            _ => false,
        };
        if !default && !says_nothing(value) && !HONOURED.contains(&option.as_str()) {
            return Err(not_served(option, &value.to_string()));
        }
    }
    let words: [(&str, &str, &[&str]); 5] = [
        ("CgroupnsMode", &config.cgroupns_mode, &["", "private"]),
        (
            "IpcMode",
            &config.ipc_mode,
            &["", "private", "shareable", "host"],
        ),
        ("PidMode", &config.pid_mode, &["", "host"]),
        ("UTSMode", &config.uts_mode, &["", "host"]),
        ("UsernsMode", &config.userns_mode, &["", "host"]),
    ];
    for (option, value, served) in words {
        if !served.contains(&value) {
            return Err(not_served(option, value));
        }
    }
    Ok(())
}

/// The defaults every inspect shows, under what the client gave.
pub(crate) fn echo(raw: &Value, config: &HostConfig) -> Value {
    let mut all = defaults();
    for (option, value) in raw.as_object().into_iter().flatten() {
        // "No list given" is answered with the default list.
        if !(value.is_null() && matches!(option.as_str(), "MaskedPaths" | "ReadonlyPaths")) {
            all.insert(option.clone(), value.clone());
        }
    }
    let mut set = |option: &str, value: Value| all.insert(option.to_owned(), value);
    let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
    let mode = match config.network_mode.as_str() {
        "" | "default" => "bridge",
        other => other,
    };
    set("NetworkMode", json!(mode));
    set("IpcMode", json!(or(&config.ipc_mode, "private")));
    set("CgroupnsMode", json!("private"));
    set(
        "Runtime",
        json!(or(&config.runtime, super::create::RUNTIME)),
    );
    set(
        "LogConfig",
        json!({ "Type": or(&config.log_config.kind, "json-file"), "Config": config.log_config.config }),
    );
    if config.privileged {
        set("MaskedPaths", Value::Null);
        set("ReadonlyPaths", Value::Null);
    }
    set("MemorySwappiness", Value::Null);
    set(
        "RestartPolicy",
        restart::shown(restart::spec(&config.restart_policy).unwrap_or_default()),
    );
    if config.shm_size == 0 {
        set("ShmSize", json!(64 << 20));
    }
    if config.memory > 0 && config.memory_swap == 0 {
        set("MemorySwap", json!(config.memory.saturating_mul(2)));
    }
    if config.pids_limit.unwrap_or(0) <= 0 {
        set("PidsLimit", Value::Null);
    }
    Value::Object(all)
}

/// What dockerd shows for a container nobody asked anything of.
fn defaults() -> Map<String, Value> {
    let value = json!({
        "Binds": null, "ContainerIDFile": "", "PortBindings": {}, "AutoRemove": false, "VolumeDriver": "",
        "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null, "Dns": [], "DnsOptions": [],
        "DnsSearch": [], "ExtraHosts": null, "GroupAdd": null, "Cgroup": "", "Links": null, "OomScoreAdj": 0,
        "PidMode": "", "Privileged": false, "PublishAllPorts": false, "ReadonlyRootfs": false, "SecurityOpt": null,
        "UTSMode": "", "UsernsMode": "", "ShmSize": 64 << 20, "Isolation": "", "CpuShares": 0, "Memory": 0,
        "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0,
        "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [],
        "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0,
        "MemorySwappiness": null, "OomKillDisable": false, "PidsLimit": null, "Ulimits": [], "CpuCount": 0,
        "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
    });
    let Value::Object(mut map) = value else {
        return Map::new();
    };
    map.insert("MaskedPaths".into(), json!(super::security::MASKED));
    map.insert("ReadonlyPaths".into(), json!(super::security::READONLY));
    map
}

#[cfg(test)]
mod tests {
    use super::super::body;
    use super::*;

    fn checked(raw: Value) -> Result<(), Failure> {
        let config = body::read(raw.clone()).unwrap();
        check(&raw, &config)
    }

    #[test]
    fn what_says_nothing_is_no_request() {
        checked(json!({
            "VolumesFrom": null, "Links": [], "BlkioWeight": 0, "OomKillDisable": false, "StorageOpt": {},
            "MemorySwappiness": -1, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "Isolation": "default",
        }))
        .unwrap();
    }

    #[test]
    fn what_is_not_honoured_is_refused_by_name() {
        for (raw, name) in [
            (json!({"VolumesFrom": ["x"]}), "VolumesFrom"),
            (json!({"BlkioWeight": 10}), "BlkioWeight"),
            (json!({"OomKillDisable": true}), "OomKillDisable"),
            (json!({"MemorySwappiness": 0.5}), "MemorySwappiness"),
            (json!({"PidMode": "container:x"}), "PidMode"),
            (json!({"CgroupnsMode": "host"}), "CgroupnsMode"),
            (json!({"SomethingNew": "x"}), "SomethingNew"),
        ] {
            let failure = checked(raw).unwrap_err();
            assert_eq!(failure.status.as_u16(), 501, "{name}");
            assert!(failure.message.contains(name), "{}", failure.message);
        }
    }

    #[test]
    fn restart_policies_are_checked_in_dockers_order() {
        checked(json!({"RestartPolicy": {"Name": "always"}})).unwrap();
        for (raw, text) in [
            (
                json!({"RestartPolicy": {"Name": "x"}}),
                "unknown policy 'x'",
            ),
            (
                json!({"RestartPolicy": {"Name": "x"}, "AutoRemove": true}),
                "can't create 'AutoRemove' container with restart policy",
            ),
        ] {
            let failure = checked(raw).unwrap_err();
            assert_eq!(failure.status.as_u16(), 400);
            assert!(failure.message.contains(text), "{}", failure.message);
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let raw = json!({"Memory": 1000, "NetworkMode": "default", "PidsLimit": 0, "Binds": ["/a:/b"], "MaskedPaths": null});
        let echoed = echo(&raw, &body::read(raw.clone()).unwrap());
        for (option, value) in [
            ("Memory", json!(1000)),
            ("MemorySwap", json!(2000)),
            ("NetworkMode", json!("bridge")),
            ("PidsLimit", Value::Null),
            ("Binds", json!(["/a:/b"])),
            ("CapAdd", Value::Null),
            ("MaskedPaths", json!(super::super::security::MASKED)),
            ("IpcMode", json!("private")),
        ] {
            assert_eq!(echoed[option], value, "{option}");
        }
    }
}
