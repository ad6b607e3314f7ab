//! Pod configurations, good and bad.

use gantry_cri_api::v1;
use gantry_model::ErrorKind;
use gantry_model::network::Protocol;

use super::spec;

fn config() -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "web".into(),
            uid: "u-1".into(),
            namespace: "default".into(),
            attempt: 2,
        }),
        ..Default::default()
    }
}

#[test]
fn takes_over_what_was_given() {
    let pod = spec(
        v1::PodSandboxConfig {
            hostname: "web".into(),
            log_directory: "/var/log//pods/x".into(),
            dns_config: Some(v1::DnsConfig {
                servers: vec!["10.0.0.10".into()],
                searches: vec!["cluster.local".into()],
                options: vec!["ndots:5".into()],
            }),
            port_mappings: vec![
                v1::PortMapping {
                    container_port: 80,
                    ..Default::default()
                },
                v1::PortMapping {
                    protocol: v1::Protocol::Udp.into(),
                    container_port: 53,
                    host_port: 5353,
                    host_ip: "127.0.0.1".into(),
                },
            ],
            labels: [("a".to_owned(), "1".to_owned())].into(),
            annotations: [("b".to_owned(), "2".to_owned())].into(),
            linux: Some(v1::LinuxPodSandboxConfig {
                cgroup_parent: "/kubepods//pod1".into(),
                sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
                ..Default::default()
            }),
            ..config()
        },
        "runc".into(),
        false,
    )
    .unwrap();
    assert_eq!(
        (pod.metadata.name.as_str(), pod.metadata.attempt),
        ("web", 2)
    );
    assert_eq!(pod.log_directory, "/var/log/pods/x");
    assert_eq!(pod.dns.unwrap().options, ["ndots:5"]);
    assert_eq!(
        pod.ports.len(),
        1,
        "a mapping without a host port publishes nothing"
    );
    assert_eq!(
        (pod.ports[0].protocol, pod.ports[0].host_port),
        (Protocol::Udp, 5353)
    );
    assert_eq!(pod.labels["a"], "1");
    assert_eq!(pod.annotations["b"], "2");
    assert_eq!(pod.cgroup_parent, "kubepods/pod1");
    assert_eq!(pod.sysctls["net.ipv4.ip_forward"], "1");
    assert_eq!(pod.handler, "runc");
}

#[test]
fn refuses_by_name() {
    let port = |host_port, container_port| v1::PodSandboxConfig {
        port_mappings: vec![v1::PortMapping {
            host_port,
            container_port,
            ..Default::default()
        }],
        ..config()
    };
    let security = |security| v1::PodSandboxConfig {
        linux: Some(v1::LinuxPodSandboxConfig {
            security_context: Some(security),
            ..Default::default()
        }),
        ..config()
    };
    for (bad, word) in [
        (v1::PodSandboxConfig::default(), "metadata"),
        (port(65_536, 80), "65536"),
        (port(-1, 80), "-1"),
        (port(80, 0), "container_port"),
        (
            v1::PodSandboxConfig {
                port_mappings: vec![v1::PortMapping {
                    host_port: 80,
                    container_port: 80,
                    host_ip: "300.1.1.1".into(),
                    ..Default::default()
                }],
                ..config()
            },
            "300.1.1.1",
        ),
        (
            v1::PodSandboxConfig {
                hostname: "x".repeat(65),
                ..config()
            },
            "hostname",
        ),
        (
            v1::PodSandboxConfig {
                log_directory: "relative".into(),
                ..config()
            },
            "log_directory",
        ),
        (
            v1::PodSandboxConfig {
                linux: Some(v1::LinuxPodSandboxConfig {
                    cgroup_parent: "/a/../../b".into(),
                    ..Default::default()
                }),
                ..config()
            },
            "cgroup_parent",
        ),
        (
            security(v1::LinuxSandboxSecurityContext {
                run_as_group: Some(v1::Int64Value { value: 1 }),
                ..Default::default()
            }),
            "run_as_group",
        ),
    ] {
        let error = spec(bad, String::new(), false).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        assert!(error.message.contains(word), "{error} should name {word}");
    }
}

#[test]
fn a_long_name_is_cut_where_it_stands_in_for_the_host_name() {
    let named = |name: &str, hostname: &str| {
        let mut config = config();
        config.metadata.as_mut().unwrap().name = name.into();
        config.hostname = hostname.into();
        spec(config, String::new(), false).unwrap().hostname
    };
    assert_eq!(named("web", ""), "", "the engine takes the name");
    assert_eq!(named("web", "given"), "given");
    let long = format!("{}-{}", "a".repeat(62), "b".repeat(30));
    assert_eq!(named(&long, ""), "a".repeat(62));
}
