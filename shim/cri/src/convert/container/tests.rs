//! Container configurations, good and bad.

use gantry_cri_api::v1;
use gantry_model::ErrorKind;
use gantry_model::container::{ContainerSpec, LogSpec, SeccompSpec};
use gantry_model::sandbox::PodSpec;

use super::{DoorData, name, spec};

fn pod() -> PodSpec {
    PodSpec {
        log_directory: "/var/log/pods/p".into(),
        handler: "runc".into(),
        ..Default::default()
    }
}

fn config() -> v1::ContainerConfig {
    v1::ContainerConfig {
        image: Some(v1::ImageSpec {
            image: "busybox".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn read(config: v1::ContainerConfig) -> gantry_model::Result<ContainerSpec> {
    spec(config, &pod(), SeccompSpec::Default, false)
}

#[test]
fn takes_over_what_was_given() {
    let made = read(v1::ContainerConfig {
        command: vec!["sh".into()],
        args: vec!["-c".into(), "true".into()],
        working_dir: "/work".into(),
        envs: vec![v1::KeyValue {
            key: "A".into(),
            value: b"b=c".to_vec(),
        }],
        log_path: "c/0.log".into(),
        stdin: true,
        stdin_once: true,
        tty: true,
        stop_signal: v1::Signal::Sigusr1.into(),
        devices: vec![v1::Device {
            host_path: "/dev/null".into(),
            container_path: String::new(),
            permissions: "rw".into(),
        }],
        labels: [("l".to_owned(), "1".to_owned())].into(),
        annotations: [("a".to_owned(), "2".to_owned())].into(),
        ..config()
    })
    .unwrap();
    assert_eq!(made.image, "busybox");
    assert_eq!(made.process.entrypoint.unwrap(), ["sh"]);
    assert_eq!(made.process.cmd.unwrap(), ["-c", "true"]);
    assert_eq!(made.process.env, ["A=b=c"]);
    assert!(made.process.terminal && made.process.stdin && made.process.stdin_once);
    assert_eq!(made.log, LogSpec::Cri("/var/log/pods/p/c/0.log".into()));
    assert_eq!(made.stop_signal, "SIGUSR1");
    assert_eq!(made.security.devices[0].container_path, "/dev/null");
    assert_eq!(made.handler, "runc");
    assert_eq!(
        (made.labels["l"].as_str(), made.annotations["a"].as_str()),
        ("1", "2")
    );
}

#[test]
fn what_is_not_given_is_the_images() {
    let made = read(config()).unwrap();
    assert_eq!(made.process.entrypoint, None);
    assert_eq!(made.process.cmd, None);
    assert_eq!(made.log, LogSpec::None);
}

#[test]
fn refuses_by_name() {
    use ErrorKind::{InvalidArgument, Unimplemented};
    let env = |key: &str, value: &[u8]| v1::ContainerConfig {
        envs: vec![v1::KeyValue {
            key: key.into(),
            value: value.to_vec(),
        }],
        ..config()
    };
    for (bad, kind, word) in [
        (v1::ContainerConfig::default(), InvalidArgument, "image"),
        (env("", b""), InvalidArgument, "envs"),
        (env("A=B", b""), InvalidArgument, "A=B"),
        (env("A", b"a\0b"), InvalidArgument, "A"),
        (env("A", b"\xff"), Unimplemented, "utf-8"),
        (
            v1::ContainerConfig {
                log_path: "../../etc/passwd".into(),
                ..config()
            },
            InvalidArgument,
            "log_path",
        ),
        (
            v1::ContainerConfig {
                cdi_devices: vec![v1::CdiDevice {
                    name: "vendor.com/gpu=0".into(),
                }],
                ..config()
            },
            Unimplemented,
            "vendor.com/gpu=0",
        ),
        (
            v1::ContainerConfig {
                devices: vec![v1::Device {
                    host_path: "/dev/null".into(),
                    permissions: "x".into(),
                    ..Default::default()
                }],
                ..config()
            },
            InvalidArgument,
            "/dev/null",
        ),
        (
            v1::ContainerConfig {
                stop_signal: 1000,
                ..config()
            },
            InvalidArgument,
            "1000",
        ),
    ] {
        let error = read(bad).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(word), "{error} should name {word}");
    }
}

#[test]
fn names_are_readable_where_they_can_be() {
    let metadata = |name: &str| v1::ContainerMetadata {
        name: name.into(),
        attempt: 3,
    };
    assert_eq!(name(&metadata("web"), "0123456789ab"), "web.0123456789ab.3");
    for odd in ["", "a/b", "-a", "ä", "a b"] {
        assert_eq!(name(&metadata(odd), "0123456789ab"), "", "{odd}");
    }
}

#[test]
fn door_data_survives_and_damage_is_harmless() {
    let data = DoorData {
        user_specified_image: "busybox:1".into(),
    };
    assert_eq!(DoorData::read(&data.write().unwrap()), data);
    assert_eq!(DoorData::read("{"), DoorData::default());
    assert_eq!(DoorData::read(""), DoorData::default());
}
