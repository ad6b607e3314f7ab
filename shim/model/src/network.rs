//! Networks, endpoints and published ports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{EndpointId, NetworkId, SandboxId, Timestamp};

/// Transport of a published port.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// `tcp`, `udp` or `sctp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A port of the host that leads into a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Transport.
    pub protocol: Protocol,
    /// Address on the host; empty or `0.0.0.0` for all.
    #[serde(default)]
    pub host_ip: String,
    /// Port on the host; 0 in a request: any free one.
    #[serde(default)]
    pub host_port: u16,
    /// Port inside.
    pub container_port: u16,
}

/// One address pool of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// `172.30.0.0/16`; empty: the driver chooses.
    #[serde(default)]
    pub subnet: String,
    /// Part of it that addresses are taken from; empty: all.
    #[serde(default)]
    pub range: String,
    /// Address of the bridge; empty: the first.
    #[serde(default)]
    pub gateway: String,
}

/// What a network should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Unique name.
    pub name: String,
    /// Driver: `bridge`, `host`, `none`, …
    pub driver: String,
    /// Driver's options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Pools.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// No way out and none in.
    #[serde(default)]
    pub internal: bool,
    /// User's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A network's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Id.
    pub id: NetworkId,
    /// What was asked, with pools filled in by the driver.
    pub spec: NetworkSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// Made by Gantry itself at start-up (`bridge`, `host`, `none`); cannot be removed.
    #[serde(default)]
    pub predefined: bool,
    /// Driver's opaque state.
    #[serde(default)]
    pub state: crate::plugin::PluginState,
}

/// What one sandbox asks of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// The network's name or id as the user gave it.
    pub network: String,
    /// Names it is known by besides its own.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Fixed IPv4 address; empty: any.
    #[serde(default)]
    pub ipv4: String,
    /// Fixed MAC address; empty: any.
    #[serde(default)]
    pub mac: String,
}

/// An interface as a driver made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Name inside (`eth0`).
    pub name: String,
    /// MAC address.
    #[serde(default)]
    pub mac: String,
    /// Addresses with prefix length: `172.30.0.2/16`.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Gateway of the default route; empty: none.
    #[serde(default)]
    pub gateway: String,
}

/// A sandbox's endpoint on a network, recorded before it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Id, chosen by the engine.
    pub id: EndpointId,
    /// The network.
    pub network: NetworkId,
    /// The sandbox generation it belongs to.
    pub sandbox: SandboxId,
    /// What was asked.
    pub spec: EndpointSpec,
    /// Ports asked for; after the join with the host ports filled in.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    /// What the driver made.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// The join has been acknowledged.
    #[serde(default)]
    pub joined: bool,
    /// Driver's opaque state.
    #[serde(default)]
    pub state: crate::plugin::PluginState,
}
