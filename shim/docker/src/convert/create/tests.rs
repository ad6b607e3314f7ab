//! Bodies as docker 28.2 sent them.

use super::*;
use gantry_model::mount::MountSource;

/// `docker create busybox true`, recorded.
const PLAIN: &str = include_str!("plain.json");
/// `docker run -d -e -v -w --user --entrypoint --network host -p -m --cpus …`, recorded.
const MUCH: &str = include_str!("much.json");

fn image() -> ImageConfig {
    ImageConfig {
        cmd: Some(vec!["sh".into()]),
        env: vec!["PATH=/bin".into(), "A=image".into()],
        labels: BTreeMap::from([("i".into(), "1".into()), ("l".into(), "image".into())]),
        exposed_ports: BTreeSet::from(["99/tcp".into()]),
        ..ImageConfig::default()
    }
}

fn convert(raw: Value) -> Result<(ContainerSpec, DoorData), Failure> {
    let host = Host {
        name: "vm".into(),
        cpus: 4,
        ..Host::default()
    };
    read(raw)?.convert(&image(), &host)
}

#[test]
fn a_plain_create() {
    let (spec, data) = convert(serde_json::from_str(PLAIN).unwrap()).unwrap();
    assert_eq!(spec.image, "busybox");
    assert_eq!(spec.process.entrypoint, Some(vec![]));
    assert_eq!(spec.process.cmd, Some(vec!["true".into()]));
    assert_eq!(spec.network.endpoints[0].network, "bridge");
    assert_eq!(
        spec.resources,
        gantry_model::container::Resources::default()
    );
    assert_eq!(spec.log, gantry_model::container::LogSpec::JsonFile);
    assert!(spec.mounts.is_empty() && !spec.auto_remove);
    assert_eq!((data.path.as_str(), data.args.len()), ("true", 0));
    assert_eq!(data.config["Cmd"], json!(["true"]));
    assert_eq!(data.config["Entrypoint"], Value::Null);
    assert_eq!(data.config["Env"], json!(["PATH=/bin", "A=image"]));
    assert_eq!(data.config["ExposedPorts"], json!({"99/tcp": {}}));
    assert_eq!(data.config["Volumes"], Value::Null);
    assert_eq!(data.host_config["NetworkMode"], "bridge");
    assert_eq!(data.host_config["MemorySwappiness"], Value::Null);
    assert_eq!(data.networks.keys().collect::<Vec<_>>(), ["bridge"]);
}

#[test]
fn a_create_with_much_asked() {
    let (spec, data) = convert(serde_json::from_str(MUCH).unwrap()).unwrap();
    assert_eq!(spec.process.entrypoint, Some(vec!["sh".into()]));
    assert_eq!(spec.process.cmd, Some(vec!["-c".into(), "echo".into()]));
    assert_eq!(
        (spec.process.cwd.as_str(), spec.process.user.user.as_str()),
        ("/w", "1:2")
    );
    assert!(spec.network.host && spec.network.ports.is_empty());
    assert_eq!(spec.resources.memory, 64 << 20);
    assert_eq!(spec.resources.nano_cpus, 500_000_000);
    assert_eq!(spec.resources.pids_limit, Some(50));
    assert!(spec.security.read_only_rootfs);
    assert_eq!(spec.security.cap_drop, ["ALL"]);
    assert_eq!(spec.hostname, "hh");
    assert_eq!(spec.labels["l"], "v", "the client's win");
    assert_eq!(spec.labels["i"], "1");
    assert!(matches!(&spec.mounts[0].source, MountSource::Volume { name, .. } if name == "vol"));
    assert!(
        matches!(&spec.mounts[1].source, MountSource::Bind { path, create: true } if path == "/tmp")
    );
    assert_eq!(data.config["Env"], json!(["A=1", "PATH=/bin"]));
    assert_eq!(data.host_config["Memory"], 64 << 20);
}

#[test]
fn the_hosts_network_comes_with_its_name() {
    for (mode, name, expected) in [
        ("host", "", "vm"),
        ("host", "own", "own"),
        ("bridge", "", ""),
    ] {
        let raw = json!({"Image": "x", "Hostname": name, "HostConfig": {"NetworkMode": mode}});
        let (spec, data) = convert(raw).unwrap();
        assert_eq!(spec.hostname, expected);
        assert_eq!(data.config["Hostname"], expected);
    }
}

#[test]
fn entry_points_merge_as_docker_does() {
    let with_entry = ImageConfig {
        entrypoint: Some(vec!["entry".into()]),
        ..image()
    };
    for (raw, words) in [
        (json!({}), vec!["entry", "sh"]),
        (json!({"Cmd": ["x"]}), vec!["entry", "x"]),
        (json!({"Cmd": "x"}), vec!["entry", "x"]),
        (json!({"Cmd": []}), vec!["entry", "sh"]),
        (json!({"Entrypoint": ["e"]}), vec!["e"]),
        (json!({"Entrypoint": ["e"], "Cmd": ["c"]}), vec!["e", "c"]),
        (json!({"Entrypoint": [""], "Cmd": ["c"]}), vec!["c"]),
    ] {
        let body = body::read(raw.clone()).unwrap();
        let (entrypoint, cmd) = command(&body, &with_entry);
        let got: Vec<String> = entrypoint.into_iter().chain(cmd).flatten().collect();
        assert_eq!(got, words, "{raw}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let base = |more: Value| {
        let mut raw = json!({"Image": "busybox", "HostConfig": {}});
        raw.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        raw
    };
    for (raw, status, part) in [
        (Value::Null, 400, "config cannot be empty"),
        (json!({}), 400, "config cannot be empty"),
        (base(json!({"Image": ""})), 400, "no image"),
        (
            base(json!({"Env": ["=x"]})),
            400,
            "invalid environment variable",
        ),
        (
            base(json!({"WorkingDir": "rel"})),
            400,
            "working directory 'rel'",
        ),
        (
            base(json!({"Entrypoint": [""]})),
            400,
            "no command specified",
        ),
        (
            base(json!({"Healthcheck": {"Test": ["CMD", "x"], "Timeout": 1}})),
            400,
            "Timeout in Healthcheck",
        ),
        (
            base(json!({"HostConfig": {"LogConfig": {"Type": "syslog"}}})),
            501,
            "syslog",
        ),
        (
            base(json!({"HostConfig": {"LogConfig": {"Type": "nope"}}})),
            400,
            "nope",
        ),
        (
            base(json!({"HostConfig": {"Memory": "x"}})),
            400,
            "invalid JSON",
        ),
        (
            base(json!({"HostConfig": {"RestartPolicy": {"Name": "maybe"}}})),
            400,
            "unknown policy 'maybe'",
        ),
    ] {
        let failure = convert(raw.clone()).unwrap_err();
        assert_eq!(failure.status.as_u16(), status, "{raw}");
        assert!(failure.message.contains(part), "{}", failure.message);
    }
}

#[test]
fn policies_come_through() {
    let (spec, data) = convert(json!({
        "Image": "busybox", "Shell": ["/bin/ash", "-c"],
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000_i64, "Retries": 2},
        "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
    }))
    .unwrap();
    assert_eq!(spec.restart.max_retries, 3);
    let health = spec.health.unwrap();
    assert_eq!(health.command, ["/bin/ash", "-c", "true"]);
    assert_eq!((health.interval, health.retries), (2_000_000_000, 2));
    assert_eq!(
        data.config["Healthcheck"],
        json!({"Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000_i64, "Retries": 2})
    );
    assert_eq!(
        data.host_config["RestartPolicy"],
        json!({"Name": "on-failure", "MaximumRetryCount": 3})
    );
}
