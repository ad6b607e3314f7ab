//! Payloads of the kind `network`.
//!
//! Words: a *network* is made once; an *endpoint* is one sandbox's membership in it. Ids are chosen by the host.
//! Life: `create` → `join`/`leave` any number of times → `delete`. `reconcile` is called at every start of the host,
//! and first in every new process of the driver, with everything the host believes in; nothing else runs beside it.

use serde::{Deserialize, Serialize};

use super::snapshot::request;
use super::{Empty, FdIndex, Labels, Request, State};

/// Makes a network. Asked again with the same id and request, it answers the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CreateRequest {
    /// Chosen by the host.
    pub id: String,
    /// Name given by the user.
    pub name: String,
    /// Options of the driver; one it does not know is `InvalidArgument`.
    #[serde(default)]
    pub options: Labels,
    /// Addresses asked for.
    #[serde(default)]
    pub ipam: Ipam,
    /// No way out of the host.
    #[serde(default)]
    pub internal: bool,
    /// IPv6 addresses as well.
    #[serde(default)]
    pub ipv6: bool,
    /// Given by the user; of no meaning to the driver.
    #[serde(default)]
    pub labels: Labels,
}

impl Request for CreateRequest {
    type Answer = CreateAnswer;
    const TABLE: &'static str = "network";
    const FUNCTION: &'static str = "create";

    fn must_understand(&self) -> Vec<&'static str> {
        let wanted = [
            ("options", !self.options.is_empty()),
            ("ipam", self.ipam != Ipam::default()),
            ("internal", self.internal),
            ("ipv6", self.ipv6),
        ];
        wanted
            .into_iter()
            .filter(|(_, set)| *set)
            .map(|(name, _)| name)
            .collect()
    }
}

/// Address management of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// Empty lets the driver choose.
    #[serde(default)]
    pub pools: Vec<Pool>,
}

/// One range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// `10.1.0.0/16`; empty lets the driver choose.
    #[serde(default)]
    pub subnet: String,
    /// Part of the subnet that endpoints get addresses from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// The host's address in the subnet, without a prefix length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Addresses by name that no endpoint may get.
    #[serde(default)]
    pub reserved: Labels,
}

/// Answers [`CreateRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CreateAnswer {
    /// State of the network.
    pub state: State,
    /// Addresses as they are now.
    #[serde(default)]
    pub ipam: Ipam,
    /// Shown to people: bridge name, MTU…
    #[serde(default)]
    pub info: Labels,
}

/// A network as a driver sees it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkRef {
    /// The network's id.
    pub id: String,
    /// The network's name.
    #[serde(default)]
    pub name: String,
    /// As answered by `create`.
    pub state: State,
}

/// Removes a network; one that is not there is done. `InUse` while an endpoint is left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeleteRequest {
    /// The network.
    pub network: NetworkRef,
}
request!(DeleteRequest, "network", "delete", Empty);

/// Connects a sandbox. Asked again with the same endpoint, it answers the same.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The network.
    pub network: NetworkRef,
    /// Id of the endpoint, chosen by the host.
    pub endpoint: String,
    /// Id of the sandbox.
    pub sandbox: String,
    /// The sandbox's network namespace, lent. None for drivers that use the host's (`host`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<FdIndex>,
    /// Host name inside.
    #[serde(default)]
    pub hostname: String,
    /// Further names in the network's DNS.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Name of the interface inside; empty lets the driver choose the first free `ethN`.
    #[serde(default)]
    pub interface: String,
    /// IPv4 address asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// IPv6 address asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address6: Option<String>,
    /// Hardware address asked for, `02:42:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// This network's gateway becomes the default route. Only one endpoint of a sandbox has it.
    #[serde(default = "yes")]
    pub default_route: bool,
    /// Ports to publish.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Options of the endpoint.
    #[serde(default)]
    pub options: Labels,
}

fn yes() -> bool {
    true
}

impl Request for JoinRequest {
    type Answer = JoinAnswer;
    const TABLE: &'static str = "network";
    const FUNCTION: &'static str = "join";

    fn must_understand(&self) -> Vec<&'static str> {
        let wanted = [
            ("address", self.address.is_some()),
            ("address6", self.address6.is_some()),
            ("mac", self.mac.is_some()),
            ("ports", !self.ports.is_empty()),
            ("options", !self.options.is_empty()),
            ("default_route", !self.default_route),
        ];
        wanted
            .into_iter()
            .filter(|(_, set)| *set)
            .map(|(name, _)| name)
            .collect()
    }
}

/// A published port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// `tcp` or `udp`.
    pub proto: String,
    /// Address on the host; empty is all of them.
    #[serde(default)]
    pub host_ip: String,
    /// Port on the host; 0 in a request lets the driver choose.
    #[serde(default)]
    pub host_port: u16,
    /// Port inside.
    pub container_port: u16,
}

/// Answers [`JoinRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// State of the endpoint.
    pub state: State,
    /// Interfaces made inside.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// Ports as they are published, none with host port 0.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// What resolv.conf should say; empty leaves it to the host.
    #[serde(default)]
    pub dns: Dns,
}

/// An interface inside a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Name inside.
    pub name: String,
    /// Hardware address.
    #[serde(default)]
    pub mac: String,
    /// Addresses with prefix length.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Default gateways, IPv4 and IPv6, when this endpoint has the default route.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// In bytes; 0 is unknown.
    #[serde(default)]
    pub mtu: u32,
}

/// Name service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Addresses of servers.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Search domains.
    #[serde(default)]
    pub search: Vec<String>,
    /// Options of resolv.conf.
    #[serde(default)]
    pub options: Vec<String>,
}

/// Disconnects a sandbox; an endpoint that is not there is done. The namespace may be gone already.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LeaveRequest {
    /// The network.
    pub network: NetworkRef,
    /// The endpoint.
    pub endpoint: String,
    /// The sandbox.
    pub sandbox: String,
    /// As answered by `join`; none when the join's outcome is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The sandbox's network namespace, lent, if it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<FdIndex>,
}
request!(LeaveRequest, "network", "leave", Empty);

/// Asks how a network is now.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InspectRequest {
    /// The network.
    pub network: NetworkRef,
}
request!(InspectRequest, "network", "inspect", InspectAnswer);

/// Answers [`InspectRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InspectAnswer {
    /// Shown to people.
    #[serde(default)]
    pub info: Labels,
    /// Ids of the endpoints that are really there.
    #[serde(default)]
    pub endpoints: Vec<String>,
}

/// Everything the host believes in: the driver repairs what is missing and removes what is not listed, if it carries
/// this instance's name *and* id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReconcileRequest {
    /// Every network of this driver.
    #[serde(default)]
    pub networks: Vec<KnownNetwork>,
    /// Every endpoint of this driver.
    #[serde(default)]
    pub endpoints: Vec<KnownEndpoint>,
}
request!(ReconcileRequest, "network", "reconcile", ReconcileAnswer);

/// A network the host believes in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KnownNetwork {
    /// As it was asked for.
    pub create: CreateRequest,
    /// As answered by `create`; none when its outcome is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// An endpoint the host believes in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KnownEndpoint {
    /// The network's id.
    pub network: String,
    /// The endpoint's id.
    pub endpoint: String,
    /// The sandbox's id.
    pub sandbox: String,
    /// As answered by `join`; none when its outcome is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// Answers [`ReconcileRequest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReconcileAnswer {
    /// Sentences for the log: what was missing and is there again.
    #[serde(default)]
    pub repaired: Vec<String>,
    /// Sentences for the log: what nobody knew and is gone.
    #[serde(default)]
    pub removed: Vec<String>,
    /// Ids of endpoints that are gone and cannot be repaired.
    #[serde(default)]
    pub lost: Vec<String>,
}

/// Extension `network.stats`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StatsRequest {
    /// The network.
    pub network: NetworkRef,
    /// The endpoint.
    pub endpoint: String,
    /// As answered by `join`.
    pub state: State,
}
request!(StatsRequest, "network.stats", "stats", StatsAnswer);

/// Counters of an endpoint, as the sandbox sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsAnswer {
    /// Received bytes.
    pub rx_bytes: u64,
    /// Received packets.
    pub rx_packets: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Dropped when received.
    pub rx_dropped: u64,
    /// Sent bytes.
    pub tx_bytes: u64,
    /// Sent packets.
    pub tx_packets: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Dropped when sent.
    pub tx_dropped: u64,
}
