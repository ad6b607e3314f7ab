//! Between the engine's words and the payloads of the interface.

use gantry_abi::schema::{self, network as payload};
use gantry_abi::{ErrorCode, Outcome};
use gantry_model::driver::{SnapshotInfo, SnapshotKind, Usage};
use gantry_model::mount::MountDescription;
use gantry_model::network::{Endpoint, Interface, Network, Pool, Protocol, PublishedPort};
use gantry_model::plugin::PluginState;
use gantry_model::{Error, ErrorKind, Result, Timestamp};
use gantry_plugin_loader::Reply;

/// Longest state of one object, as JSON text in bytes.
const MAX_STATE: usize = 64 * 1024;

/// The engine's error for a reply that is not done.
pub(crate) fn error_of(reply: &Reply) -> Error {
    let kind = match (reply.outcome, reply.code) {
        (Outcome::Unknown, _) => ErrorKind::Unknown,
        (_, ErrorCode::InvalidArgument) => ErrorKind::InvalidArgument,
        (_, ErrorCode::NotFound) => ErrorKind::NotFound,
        (_, ErrorCode::AlreadyExists) => ErrorKind::AlreadyExists,
        (_, ErrorCode::InUse) => ErrorKind::Conflict,
        (_, ErrorCode::FailedPrecondition) => ErrorKind::FailedPrecondition,
        (_, ErrorCode::PermissionDenied) => ErrorKind::PermissionDenied,
        (_, ErrorCode::ResourceExhausted) => ErrorKind::ResourceExhausted,
        (_, ErrorCode::Unimplemented) => ErrorKind::Unimplemented,
        (_, ErrorCode::Unavailable | ErrorCode::Poisoned) => ErrorKind::Unavailable,
        (_, ErrorCode::DeadlineExceeded) => ErrorKind::DeadlineExceeded,
        (_, ErrorCode::Cancelled) => ErrorKind::Cancelled,
        (_, ErrorCode::DataLoss) => ErrorKind::DataLoss,
        (_, ErrorCode::Internal) => ErrorKind::Internal,
    };
    let message = if reply.message.is_empty() {
        reply.code.as_str()
    } else {
        &reply.message
    };
    Error::new(kind, message)
}

/// State as the plugin wrote it, for the store.
pub(crate) fn kept(state: schema::State) -> Result<PluginState> {
    let data = if state.data.is_null() {
        String::new()
    } else {
        state.data.to_string()
    };
    if data.len() > MAX_STATE {
        let len = data.len();
        return Err(Error::unknown(format!(
            "the plugin's state is {len} bytes, at most {MAX_STATE} are kept"
        )));
    }
    Ok(PluginState {
        schema: state.schema,
        data,
    })
}

/// State from the store, for the plugin.
pub(crate) fn handed_back(state: &PluginState) -> Result<schema::State> {
    let damaged =
        |error| Error::data_loss(format!("read the plugin's state from the record: {error}"));
    let data = match state.data.as_str() {
        "" => serde_json::Value::Null,
        text => serde_json::from_str(text).map_err(damaged)?,
    };
    Ok(schema::State {
        schema: state.schema,
        data,
    })
}

/// As [`handed_back`]; none when nothing was ever answered.
pub(crate) fn handed_back_if_any(state: &PluginState) -> Result<Option<schema::State>> {
    if *state == PluginState::default() {
        Ok(None)
    } else {
        handed_back(state).map(Some)
    }
}

/// A description of a mount.
pub(crate) fn mount(spec: schema::MountSpec) -> Result<MountDescription> {
    if !spec.target.is_empty() {
        let target = &spec.target;
        return Err(Error::unimplemented(format!(
            "a mount below another one, at {target:?}"
        )));
    }
    Ok(MountDescription {
        kind: spec.kind,
        source: spec.source,
        options: spec.options,
        lower: spec.lower,
        upper: spec.upper.unwrap_or_default(),
        work: spec.work.unwrap_or_default(),
    })
}

/// Several of them, in order.
pub(crate) fn mounts(specs: Vec<schema::MountSpec>) -> Result<Vec<MountDescription>> {
    specs.into_iter().map(mount).collect()
}

pub(crate) fn usage(usage: schema::Usage) -> Usage {
    Usage {
        bytes: usage.bytes,
        inodes: usage.inodes,
    }
}

pub(crate) fn snapshot(info: schema::snapshot::Info) -> SnapshotInfo {
    let kind = match info.kind {
        schema::snapshot::Kind::Active => SnapshotKind::Active,
        schema::snapshot::Kind::View => SnapshotKind::View,
        schema::snapshot::Kind::Committed => SnapshotKind::Committed,
    };
    // The interface has no time of making yet.
    SnapshotInfo {
        key: info.key,
        kind,
        parent: info.parent,
        created_at: Timestamp::default(),
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(crate) fn create_network(network: &Network) -> payload::CreateRequest {
    let spec = &network.spec;
    let pool = |pool: &Pool| payload::Pool {
        subnet: pool.subnet.clone(),
        range: given(&pool.range),
        gateway: given(&pool.gateway),
        reserved: schema::Labels::new(),
    };
    payload::CreateRequest {
        id: network.id.as_str().to_owned(),
        name: spec.name.clone(),
        options: spec.options.clone(),
        ipam: payload::Ipam {
            pools: spec.pools.iter().map(pool).collect(),
        },
        internal: spec.internal,
        ipv6: false,
        labels: spec.labels.clone(),
    }
}

pub(crate) fn pools(ipam: payload::Ipam) -> Vec<Pool> {
    let pool = |pool: payload::Pool| Pool {
        subnet: pool.subnet,
        range: pool.range.unwrap_or_default(),
        gateway: pool.gateway.unwrap_or_default(),
    };
    ipam.pools.into_iter().map(pool).collect()
}

pub(crate) fn network_ref(network: &Network) -> Result<payload::NetworkRef> {
    Ok(payload::NetworkRef {
        id: network.id.as_str().to_owned(),
        name: network.spec.name.clone(),
        state: handed_back(&network.state)?,
    })
}

pub(crate) fn join(
    network: &Network,
    endpoint: &Endpoint,
    netns: bool,
) -> Result<payload::JoinRequest> {
    Ok(payload::JoinRequest {
        network: network_ref(network)?,
        endpoint: endpoint.id.as_str().to_owned(),
        sandbox: endpoint.sandbox.as_str().to_owned(),
        netns: netns.then_some(0),
        aliases: endpoint.spec.aliases.clone(),
        address: given(&endpoint.spec.ipv4),
        mac: given(&endpoint.spec.mac),
        default_route: true,
        ports: endpoint.ports.iter().map(port).collect(),
        ..payload::JoinRequest::default()
    })
}

fn port(port: &PublishedPort) -> payload::Port {
    payload::Port {
        proto: port.protocol.as_str().to_owned(),
        host_ip: port.host_ip.clone(),
        host_port: port.host_port,
        container_port: port.container_port,
    }
}

pub(crate) fn published(port: payload::Port) -> Result<PublishedPort> {
    let protocol = match port.proto.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        other => {
            return Err(Error::unknown(format!(
                "the plugin published a port of protocol {other:?}"
            )));
        }
    };
    let (host_ip, host_port, container_port) = (port.host_ip, port.host_port, port.container_port);
    Ok(PublishedPort {
        protocol,
        host_ip,
        host_port,
        container_port,
    })
}

pub(crate) fn interface(interface: payload::Interface) -> Interface {
    Interface {
        name: interface.name,
        mac: interface.mac,
        addresses: interface.addresses,
        gateway: interface.gateways.into_iter().next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_goes_to_the_store_and_back() {
        for data in [
            serde_json::Value::Null,
            serde_json::json!({"a": [1, "x"]}),
            serde_json::json!("text"),
        ] {
            let state = schema::State { schema: 3, data };
            let stored = kept(state.clone()).unwrap();
            assert_eq!(handed_back(&stored).unwrap(), state);
        }
        assert_eq!(handed_back_if_any(&PluginState::default()).unwrap(), None);
        let long = schema::State {
            schema: 1,
            data: "x".repeat(MAX_STATE).into(),
        };
        assert_eq!(kept(long).unwrap_err().kind, ErrorKind::Unknown);
        let damaged = PluginState {
            schema: 1,
            data: "{".into(),
        };
        assert_eq!(handed_back(&damaged).unwrap_err().kind, ErrorKind::DataLoss);
    }

    #[test]
    fn every_kind_of_error_has_a_place_and_unknown_wins() {
        for code in gantry_abi::ERROR_KINDS {
            let error = error_of(&Reply::refused(Outcome::NotDone, *code, ""));
            assert_eq!(error.message, code.as_str());
            assert_ne!(error.kind, ErrorKind::Unknown);
            assert_eq!(
                error_of(&Reply::refused(Outcome::Unknown, *code, "x")).kind,
                ErrorKind::Unknown
            );
        }
    }
}
