//! Exposed and published ports: `80/tcp`, bindings, and the lists answers show.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::network::{Protocol, PublishedPort};
use serde_json::{Map, Value, json};

use super::body::HostConfig;
use crate::response::Failure;

/// Most ports one container may publish.
const MAX_PORTS: usize = 4096;

/// Ports to publish: the bindings given, and with `-P` every exposed port without one.
///
/// # Errors
/// 400 for what is no port, 501 for IPv6 and for ranges to choose from.
pub(crate) fn published(
    config: &HostConfig,
    exposed: &BTreeSet<String>,
) -> Result<Vec<PublishedPort>, Failure> {
    let mut ports = Vec::new();
    let mut bound = BTreeSet::new();
    for (key, bindings) in &config.port_bindings {
        let (container_port, protocol) = one(key)?;
        bound.insert((container_port, protocol));
        let any = [super::body::PortBinding::default()];
        let bindings = if bindings.is_empty() {
            &any[..]
        } else {
            bindings
        };
        for binding in bindings {
            ports.push(PublishedPort {
                protocol,
                host_ip: host_ip(&binding.host_ip)?,
                host_port: host_port(&binding.host_port)?,
                container_port,
            });
        }
    }
    if config.publish_all_ports {
        for (container_port, protocol) in expand(exposed)? {
            if bound.insert((container_port, protocol)) {
                ports.push(PublishedPort {
                    protocol,
                    host_ip: String::new(),
                    host_port: 0,
                    container_port,
                });
            }
        }
    }
    if ports.len() > MAX_PORTS {
        return Err(Failure::bad_request(format!(
            "more than {MAX_PORTS} published ports"
        )));
    }
    Ok(ports)
}

fn protocol(text: &str) -> Result<Protocol, Failure> {
    match text.to_ascii_lowercase().as_str() {
        "" | "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err(Failure::bad_request(format!("invalid proto: {text}"))),
    }
}

fn one(key: &str) -> Result<(u16, Protocol), Failure> {
    let (port, proto) = key.split_once('/').unwrap_or((key, "tcp"));
    let number =
        port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            Failure::bad_request(format!("invalid port specification: \"{key}\""))
        })?;
    Ok((number, protocol(proto)?))
}

/// Exposed ports one by one; `8000-8010/tcp` is a range.
fn expand(exposed: &BTreeSet<String>) -> Result<BTreeSet<(u16, Protocol)>, Failure> {
    let mut all = BTreeSet::new();
    for key in exposed {
        let (range, proto) = key.split_once('/').unwrap_or((key, "tcp"));
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let (low, proto) = one(&format!("{low}/{proto}"))?;
        let (high, _) = one(high)?;
        all.extend((low..=high).map(|port| (port, proto)).take(MAX_PORTS + 1));
    }
    Ok(all)
}

fn host_ip(text: &str) -> Result<String, Failure> {
    if text.is_empty() {
        return Ok(String::new());
    }
    match text.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => Ok(text.to_owned()),
        Ok(std::net::IpAddr::V6(_)) => Err(Failure::not_served(format!(
            "publishing on the IPv6 address {text} is not served by gantry yet"
        ))),
        Err(_) => Err(Failure::bad_request(format!("invalid IP address: {text}"))),
    }
}

fn host_port(text: &str) -> Result<u16, Failure> {
    if text.is_empty() {
        return Ok(0);
    }
    if text.contains('-') {
        return Err(Failure::not_served(format!(
            "a range of host ports to choose from ({text}) is not served by gantry yet"
        )));
    }
    text.parse()
        .map_err(|_| Failure::bad_request(format!("invalid port specification: \"{text}\"")))
}

fn shown_ip(port: &PublishedPort) -> &str {
    if port.host_ip.is_empty() {
        "0.0.0.0"
    } else {
        &port.host_ip
    }
}

/// `NetworkSettings.Ports`: published ones with their bindings, exposed ones with null.
pub(crate) fn as_map<'a>(
    ports: &[PublishedPort],
    exposed: impl IntoIterator<Item = &'a str>,
) -> Value {
    let mut map: BTreeMap<String, Option<Vec<Value>>> = exposed
        .into_iter()
        .map(|key| (key.to_owned(), None))
        .collect();
    for port in ports {
        let key = format!("{}/{}", port.container_port, port.protocol.as_str());
        map.entry(key)
            .or_default()
            .get_or_insert_default()
            .push(json!({
                "HostIp": shown_ip(port),
                "HostPort": port.host_port.to_string(),
            }));
    }
    json!(map)
}

/// `Ports` of the container list.
pub(crate) fn as_list<'a>(
    ports: &[PublishedPort],
    exposed: impl IntoIterator<Item = &'a str>,
) -> Vec<Value> {
    let mut list = Vec::new();
    for port in ports {
        list.push(json!({
            "IP": shown_ip(port),
            "PrivatePort": port.container_port,
            "PublicPort": port.host_port,
            "Type": port.protocol.as_str(),
        }));
    }
    for key in exposed {
        let Ok((number, proto)) = one(key) else {
            continue;
        };
        if !ports
            .iter()
            .any(|p| p.container_port == number && p.protocol == proto)
        {
            let mut entry = Map::new();
            entry.insert("PrivatePort".into(), json!(number));
            entry.insert("Type".into(), json!(proto.as_str()));
            list.push(Value::Object(entry));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::super::body;
    use super::*;

    fn read(raw: Value, exposed: &[&str]) -> Result<Vec<PublishedPort>, Failure> {
        let exposed = exposed.iter().map(|key| (*key).to_owned()).collect();
        published(&body::read(raw).unwrap(), &exposed)
    }

    #[test]
    fn bindings_become_ports() {
        let raw = json!({
            "PortBindings": {
                "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": ""}],
                "53/udp": [],
            },
            "PublishAllPorts": true,
        });
        let ports = read(raw, &["80/tcp", "90-91/tcp"]).unwrap();
        let short: Vec<String> = ports
            .iter()
            .map(|p| {
                format!(
                    "{}:{}->{}/{}",
                    p.host_ip,
                    p.host_port,
                    p.container_port,
                    p.protocol.as_str()
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                ":0->53/udp",
                ":8080->80/tcp",
                "127.0.0.1:0->80/tcp",
                ":0->90/tcp",
                ":0->91/tcp"
            ]
        );
    }

    #[test]
    fn bad_ports_are_named() {
        for (key, ip, port, status) in [
            ("x/tcp", "", "1", 400),
            ("0/tcp", "", "1", 400),
            ("80/icmp", "", "1", 400),
            ("80/tcp", "::1", "1", 501),
            ("80/tcp", "nope", "1", 400),
            ("80/tcp", "", "99999", 400),
            ("80/tcp", "", "1-5", 501),
        ] {
            let raw = json!({"PortBindings": {key: [{"HostIp": ip, "HostPort": port}]}});
            assert_eq!(
                read(raw, &[]).unwrap_err().status.as_u16(),
                status,
                "{key} {ip} {port}"
            );
        }
    }

    #[test]
    fn answers_show_published_and_exposed() {
        let ports = read(
            json!({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}),
            &[],
        )
        .unwrap();
        assert_eq!(
            as_map(&ports, ["80/tcp", "443/tcp"]),
            json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": null})
        );
        assert_eq!(
            as_list(&ports, ["80/tcp", "443/tcp"]),
            [
                json!({"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}),
                json!({"PrivatePort": 443, "Type": "tcp"}),
            ]
        );
    }
}
