//! `GET /info`.

use std::sync::Arc;

use gantry_model::Timestamp;
use gantry_model::plugin::{PluginKind, PluginStatus};
use serde_json::{Value, json};

use crate::convert::create::RUNTIME;
use crate::door::DockerDoor;
use crate::host;
use crate::request::Req;
use crate::response::{Answer, ok};

/// What the daemon is and has.
pub(crate) async fn info(door: Arc<DockerDoor>, _: Req) -> Answer {
    let info = door.engine.info();
    let config = &info.config;
    let plugins = door.engine.plugins();
    let names = |kind: PluginKind| -> Vec<String> {
        let mut names: Vec<String> = plugins
            .iter()
            .filter(|plugin| plugin.kind == kind && plugin.status == PluginStatus::Active)
            .map(|plugin| {
                if kind == PluginKind::Network && plugin.name == "none" {
                    "null".into()
                } else {
                    plugin.name.clone()
                }
            })
            .collect();
        names.sort();
        names
    };
    let mut runtimes = json!({ RUNTIME: { "path": "gantry-shim" } });
    for handler in &config.handlers {
        let mut shown = json!({ "path": handler.runtime.path });
        if !handler.runtime.options.is_empty() {
            shown["runtimeArgs"] = json!(handler.runtime.options);
        }
        if !handler.features.is_null() {
            // What its own `features` says, where dockerd has it.
            let text = handler.features.to_string();
            shown["status"] = json!({ "org.opencontainers.runtime-spec.features": text });
        }
        runtimes[&handler.runtime.name] = shown;
    }
    let mut shown = json!({
        "ID": config.random_id,
        "Name": door.host.name,
        "Containers": info.running + info.paused + info.stopped,
        "ContainersRunning": info.running,
        "ContainersPaused": info.paused,
        "ContainersStopped": info.stopped,
        "Images": info.images,
        "Driver": config.snapshotter,
        "DriverStatus": [["driver-type", "gantry.snapshotter"]],
        "Plugins": {
            "Volume": names(PluginKind::Volume),
            "Network": names(PluginKind::Network),
            "Authorization": null,
            "Log": ["json-file", "local", "none"],
        },
        "SystemTime": Timestamp::from_system(std::time::SystemTime::now()).rfc3339(),
        "LoggingDriver": "json-file",
        "CgroupDriver": config.cgroup_driver,
        "CgroupVersion": config.cgroup_version.to_string(),
        "Runtimes": runtimes,
        "DefaultRuntime": RUNTIME,
        "DockerRootDir": config.root.to_string_lossy(),
        "Labels": [format!("gantry.instance={}", config.instance)],
        "ServerVersion": door.config.server_version,
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "Warnings": null,
    });
    fill(&mut shown, host_facts(&door.host));
    fill(&mut shown, fixed());
    ok(&shown)
}

fn fill(shown: &mut Value, more: Value) {
    if let (Value::Object(shown), Value::Object(more)) = (shown, more) {
        shown.extend(more);
    }
}

fn host_facts(host: &host::Host) -> Value {
    json!({
        "KernelVersion": host.kernel,
        "OperatingSystem": host.os,
        "OSVersion": host.os_version,
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "NCPU": host.cpus,
        "MemTotal": host.memory,
    })
}

/// What is the same everywhere.
fn fixed() -> Value {
    json!({
        "MemoryLimit": true,
        "SwapLimit": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
        "OomKillDisable": false,
        "IPv4Forwarding": true,
        "Debug": false,
        "NFd": 0,
        "NGoroutines": 0,
        "NEventsListener": 0,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"],
            "IndexConfigs": { "docker.io": { "Name": "docker.io", "Mirrors": [], "Secure": true, "Official": true } },
            "Mirrors": [],
        },
        "GenericResources": null,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "ExperimentalBuild": false,
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
            "RemoteManagers": null,
        },
        // Containers outlive the daemon always.
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" },
        "InitCommit": { "ID": "" },
        "CDISpecDirs": [],
    })
}
