//! Networks: how a container joins them, and how answers show one.

use std::collections::BTreeMap;

use gantry_engine::NetworkView;
use gantry_model::container::NetworkAttachment;
use gantry_model::network::{EndpointSpec, Network};
use serde_json::{Map, Value, json};

use super::body::{Create, EndpointConfig};
use crate::response::Failure;

/// The network of a container that names none.
const DEFAULT: &str = "bridge";

/// Which networks a container joins; ports and DNS are filled in by the caller.
///
/// # Errors
/// 400 for what cannot go together, 501 for what is not served.
pub(crate) fn attachment(body: &Create) -> Result<NetworkAttachment, Failure> {
    let mode = mode(body);
    let given = &body.networking_config.endpoints_config;
    let mut attachment = NetworkAttachment::default();
    if let Some(container) = mode.strip_prefix("container:") {
        return Err(Failure::not_served(format!(
            "joining the network of another container ({container}) is not served by gantry yet"
        )));
    }
    if body.network_disabled || mode == "none" || mode == "host" {
        attachment.host = mode == "host" && !body.network_disabled;
        if let Some(other) = given.keys().find(|name| !is_primary(name, mode)) {
            return Err(Failure::bad_request(format!(
                "conflicting options: a container with network mode {mode} cannot join network {other}"
            )));
        }
        if !attachment.host {
            // A network like any other: its driver brings up the loopback, and without its driver it cannot be had.
            attachment
                .endpoints
                .push(endpoint("none", &EndpointConfig::default())?);
        }
        return Ok(attachment);
    }
    let primary = given.iter().find(|(name, _)| is_primary(name, mode));
    let none = EndpointConfig::default();
    let mut first = endpoint(mode, primary.map_or(&none, |(_, config)| config))?;
    if first.mac.is_empty() {
        first.mac.clone_from(&body.mac_address);
    }
    attachment.endpoints.push(first);
    for (name, config) in given.iter().filter(|(name, _)| !is_primary(name, mode)) {
        attachment.endpoints.push(endpoint(name, config)?);
    }
    Ok(attachment)
}

fn mode(body: &Create) -> &str {
    match body.host_config.network_mode.as_str() {
        "" | "default" => DEFAULT,
        other => other,
    }
}

/// The CLI writes the settings of the first network under `default` when the user named none.
fn is_primary(name: &str, mode: &str) -> bool {
    name == mode || (name == "default" && mode == DEFAULT)
}

fn endpoint(network: &str, config: &EndpointConfig) -> Result<EndpointSpec, Failure> {
    let refused = [
        ("Links", !config.links.is_empty()),
        ("DriverOpts", !config.driver_opts.is_empty()),
        ("GwPriority", config.gw_priority != 0),
        (
            "IPAMConfig.IPv6Address",
            !config.ipam_config.ipv6.is_empty(),
        ),
        (
            "IPAMConfig.LinkLocalIPs",
            !config.ipam_config.link_local.is_empty(),
        ),
    ];
    if let Some((option, _)) = refused.iter().find(|(_, asked)| *asked) {
        return Err(Failure::not_served(format!(
            "{option} of network {network} is not served by gantry yet"
        )));
    }
    let ipv4 = &config.ipam_config.ipv4;
    if !ipv4.is_empty() && ipv4.parse::<std::net::Ipv4Addr>().is_err() {
        return Err(Failure::bad_request(format!(
            "invalid IPv4 address: {ipv4}"
        )));
    }
    Ok(EndpointSpec {
        network: network.to_owned(),
        aliases: config.aliases.clone(),
        ipv4: ipv4.clone(),
        mac: config.mac_address.clone(),
    })
}

/// What to keep of the endpoints' settings, by network.
pub(crate) fn kept(body: &Create, raw: &Value) -> BTreeMap<String, Value> {
    let mode = mode(body);
    let mut kept = BTreeMap::from([(mode.to_owned(), Value::Null)]);
    for (name, value) in raw.as_object().into_iter().flatten() {
        let name = if is_primary(name, mode) { mode } else { name };
        kept.insert(name.to_owned(), value.clone());
    }
    kept
}

/// `name:address` texts.
///
/// # Errors
/// 400 for another text, 501 for the host's own gateway.
pub(crate) fn extra_hosts(texts: &[String]) -> Result<Vec<String>, Failure> {
    for text in texts {
        let Some((name, address)) = text.split_once(':').filter(|(name, _)| !name.is_empty())
        else {
            return Err(Failure::bad_request(format!(
                "bad format for add-host: {text:?}"
            )));
        };
        if address == "host-gateway" {
            return Err(Failure::not_served(format!(
                "the address host-gateway of host {name} is not served by gantry yet"
            )));
        }
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<std::net::IpAddr>().is_err() {
            return Err(Failure::bad_request(format!(
                "invalid IP address in add-host: {address:?}"
            )));
        }
    }
    Ok(texts.to_vec())
}

/// Docker's name for a driver.
fn driver_shown(driver: &str) -> &str {
    if driver == "none" { "null" } else { driver }
}

/// Our name for Docker's.
pub(crate) fn driver_meant(driver: &str) -> &str {
    match driver {
        "" => "bridge",
        "null" => "none",
        other => other,
    }
}

/// A network as lists show it.
pub(crate) fn shown(network: &Network) -> Value {
    let spec = &network.spec;
    let pools: Vec<Value> = spec
        .pools
        .iter()
        .map(|pool| {
            let mut shown = Map::new();
            for (key, text) in [
                ("Subnet", &pool.subnet),
                ("IPRange", &pool.range),
                ("Gateway", &pool.gateway),
            ] {
                if !text.is_empty() {
                    shown.insert(key.into(), json!(text));
                }
            }
            Value::Object(shown)
        })
        .collect();
    json!({
        "Name": spec.name,
        "Id": network.id.as_str(),
        "Created": network.created_at.rfc3339(),
        "Scope": "local",
        "Driver": driver_shown(&spec.driver),
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {
            "Driver": "default",
            "Options": if network.predefined { Value::Null } else { json!({}) },
            "Config": if pools.is_empty() && network.predefined { Value::Null } else { json!(pools) },
        },
        "Internal": spec.internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": {},
        "Options": spec.options,
        "Labels": spec.labels,
    })
}

/// A network as inspect shows it, with who is on it.
pub(crate) fn inspected(view: &NetworkView) -> Value {
    let mut shown = shown(&view.network);
    for (endpoint, container) in &view.endpoints {
        let Some((id, name)) = container else {
            continue;
        };
        let interface = endpoint.interfaces.first();
        let address = interface.and_then(|i| i.addresses.first());
        shown["Containers"][id.as_str()] = json!({
            "Name": name,
            "EndpointID": endpoint.id.as_str(),
            "MacAddress": interface.map_or("", |i| &i.mac),
            "IPv4Address": address.map_or("", String::as_str),
            "IPv6Address": "",
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::body;
    use super::*;

    fn read(raw: Value) -> Result<NetworkAttachment, Failure> {
        attachment(&body::read(raw).unwrap())
    }

    #[test]
    fn modes() {
        let plain = read(
            json!({"HostConfig": {"NetworkMode": "default"}, "NetworkingConfig":
            {"EndpointsConfig": {"default": {"IPAMConfig": null, "MacAddress": ""}}}}),
        )
        .unwrap();
        assert_eq!(plain.endpoints.len(), 1);
        assert_eq!(plain.endpoints[0].network, "bridge");
        let host = read(json!({"HostConfig": {"NetworkMode": "host"}})).unwrap();
        assert!(host.host && host.endpoints.is_empty());
        let none = read(json!({"HostConfig": {"NetworkMode": "none"}})).unwrap();
        assert!(!none.host && none.endpoints[0].network == "none");
        let own = read(
            json!({"HostConfig": {"NetworkMode": "foo"}, "NetworkingConfig": {"EndpointsConfig": {
            "foo": {"Aliases": ["al"], "IPAMConfig": {"IPv4Address": "10.0.0.2"}}, "bar": {}}}}),
        )
        .unwrap();
        assert_eq!(own.endpoints[0].network, "foo");
        assert_eq!(own.endpoints[0].aliases, ["al"]);
        assert_eq!(own.endpoints[0].ipv4, "10.0.0.2");
        assert_eq!(own.endpoints[1].network, "bar");
    }

    #[test]
    fn what_does_not_go_is_named() {
        for (raw, status) in [
            (json!({"HostConfig": {"NetworkMode": "container:x"}}), 501),
            (
                json!({"HostConfig": {"NetworkMode": "host"}, "NetworkingConfig": {"EndpointsConfig": {"foo": {}}}}),
                400,
            ),
            (
                json!({"NetworkingConfig": {"EndpointsConfig": {"default": {"Links": ["a:b"]}}}}),
                501,
            ),
            (
                json!({"NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": {"IPv4Address": "x"}}}}}),
                400,
            ),
        ] {
            assert_eq!(
                read(raw.clone()).unwrap_err().status.as_u16(),
                status,
                "{raw}"
            );
        }
        assert!(extra_hosts(&["a:1.2.3.4".into(), "b:::1".into(), "c:[::1]".into()]).is_ok());
        assert_eq!(
            extra_hosts(&["a:host-gateway".into()])
                .unwrap_err()
                .status
                .as_u16(),
            501
        );
        assert_eq!(extra_hosts(&["a".into()]).unwrap_err().status.as_u16(), 400);
        assert_eq!(
            extra_hosts(&["a:x".into()]).unwrap_err().status.as_u16(),
            400
        );
    }
}
