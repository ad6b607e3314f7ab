//! `NetworkSettings` of inspect and of the list.

use std::sync::Arc;

use gantry_engine::Engine;
use gantry_model::container::Container;
use gantry_model::network::{Endpoint, PublishedPort};
use serde_json::{Map, Value, json};

use super::door_data::DoorData;
use super::ports;

/// The endpoints of a container's run; none when it does not run.
pub(crate) fn endpoints(engine: &Engine, container: &Container) -> Vec<Arc<Endpoint>> {
    match &container.run {
        Some(run) if container.state.is_live() => engine.endpoints_of(&run.sandbox),
        _ => Vec::new(),
    }
}

/// Published ports of a run.
pub(crate) fn published(endpoints: &[Arc<Endpoint>]) -> Vec<PublishedPort> {
    let mut ports: Vec<PublishedPort> = endpoints
        .iter()
        .flat_map(|endpoint| endpoint.ports.iter().cloned())
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

/// One network with the addresses of an endpoint on it, if there is one.
fn one(asked: &Value, id: &str, endpoint: Option<&Endpoint>) -> Value {
    let interface = endpoint.and_then(|endpoint| endpoint.interfaces.first());
    let (address, length) = interface
        .and_then(|interface| interface.addresses.first())
        .and_then(|text| text.split_once('/'))
        .unwrap_or(("", "0"));
    json!({
        "IPAMConfig": asked["IPAMConfig"],
        "Links": null,
        "Aliases": asked["Aliases"],
        "MacAddress": interface.map_or("", |interface| &interface.mac),
        "DriverOpts": null,
        "GwPriority": 0,
        "NetworkID": id,
        "EndpointID": endpoint.map_or("", |endpoint| endpoint.id.as_str()),
        "Gateway": interface.map_or("", |interface| &interface.gateway),
        "IPAddress": address,
        "IPPrefixLen": length.parse::<u8>().unwrap_or(0),
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": null,
    })
}

/// `Networks`: every network asked for, with addresses while the container runs.
pub(crate) fn networks(engine: &Engine, data: &DoorData, endpoints: &[Arc<Endpoint>]) -> Value {
    let known = engine.networks();
    let mut shown = Map::new();
    for (name, asked) in &data.networks {
        let network = known
            .iter()
            .find(|network| network.spec.name == *name || network.id.as_str() == name);
        let id = network.map_or("", |network| network.id.as_str());
        let endpoint = endpoints
            .iter()
            .find(|endpoint| endpoint.network.as_str() == id);
        let name = network.map_or(name, |network| &network.spec.name);
        shown.insert(
            name.clone(),
            one(asked, id, endpoint.map(|endpoint| &**endpoint)),
        );
    }
    Value::Object(shown)
}

/// The whole of it.
pub(crate) fn settings(engine: &Engine, container: &Container, data: &DoorData) -> Value {
    let endpoints = endpoints(engine, container);
    let networks = networks(engine, data, &endpoints);
    // Fields of the default bridge, repeated at the top for clients of before there were networks.
    let bridge = &networks["bridge"];
    let old = |key: &str, none: Value| bridge.get(key).cloned().unwrap_or(none);
    let live = container.state.is_live();
    let sandbox = container
        .run
        .as_ref()
        .filter(|_| live)
        .map_or("", |run| run.sandbox.as_str());
    // Only who has an address of its own has ports of its own.
    let shown_ports = if endpoints.is_empty() {
        json!({})
    } else {
        ports::as_map(&published(&endpoints), data.exposed())
    };
    json!({
        "Bridge": "",
        "SandboxID": sandbox,
        "SandboxKey": "",
        "Ports": shown_ports,
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": old("EndpointID", json!("")),
        "Gateway": old("Gateway", json!("")),
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": old("IPAddress", json!("")),
        "IPPrefixLen": old("IPPrefixLen", json!(0)),
        "IPv6Gateway": "",
        "MacAddress": old("MacAddress", json!("")),
        "Networks": networks,
    })
}
