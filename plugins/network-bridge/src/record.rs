//! The opaque states the host keeps for us: a network's and an endpoint's.

use std::net::Ipv4Addr;

use gantry_sdk::network::Port;
use gantry_sdk::{Error, Result, State};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::subnet::Subnet;

const SCHEMA: u32 = 1;

/// A network as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    /// Name of the bridge.
    pub(crate) bridge: String,
    /// Its subnet.
    pub(crate) subnet: Subnet,
    /// The bridge's own address.
    pub(crate) gateway: Ipv4Addr,
    /// Part of the subnet that endpoints get addresses from.
    #[serde(default)]
    pub(crate) range: Option<Subnet>,
    /// Addresses no endpoint may get.
    #[serde(default)]
    pub(crate) reserved: Vec<Ipv4Addr>,
    /// No way in or out.
    #[serde(default)]
    pub(crate) internal: bool,
    /// What leaves the host carries the host's address.
    pub(crate) masquerade: bool,
    /// MTU of its links; 0 is the kernel's.
    #[serde(default)]
    pub(crate) mtu: u32,
    /// Where ports are published that name no address.
    #[serde(default)]
    pub(crate) host_ip: Option<Ipv4Addr>,
}

/// An endpoint as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointRecord {
    /// Id of its network.
    pub(crate) network: String,
    /// Name of the host's end of its veth.
    pub(crate) link: String,
    /// Name of the other end.
    pub(crate) interface: String,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// Hardware address.
    pub(crate) mac: Mac,
    /// The network's gateway is the sandbox's default route.
    pub(crate) default_route: bool,
    /// Published ports.
    #[serde(default)]
    pub(crate) ports: Vec<Published>,
}

/// Transport of a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    /// Number in the IP header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// A published port as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) transport: Transport,
    /// None is every address of the host.
    #[serde(default)]
    pub(crate) host_ip: Option<Ipv4Addr>,
    pub(crate) host_port: u16,
    pub(crate) container_port: u16,
}

impl Published {
    /// As the host wants it.
    pub(crate) fn answer(&self) -> Port {
        let proto = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        Port {
            proto: proto.to_owned(),
            host_ip: self.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            host_port: self.host_port,
            container_port: self.container_port,
        }
    }
}

/// A hardware address, written with colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl Mac {
    /// Derived from the address, so that neighbours' caches stay right when it is used again.
    pub(crate) fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let bad = || format!("{text:?} is not a hardware address such as 02:42:ac:1e:00:02");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        // The lowest bit of the first byte marks a group: no interface has such an address.
        if parts.next().is_some() || bytes[0] & 1 == 1 {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

impl From<Mac> for String {
    fn from(Mac([a, b, c, d, e, f]): Mac) -> Self {
        format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// Writes a state.
pub(crate) fn write<T: Serialize>(record: &T) -> Result<State> {
    let data =
        serde_json::to_value(record).map_err(|e| Error::internal(format!("write a state: {e}")))?;
    Ok(State {
        schema: SCHEMA,
        data,
    })
}

/// Reads a state.
///
/// # Errors
/// When it is not one of ours or of a newer version of this driver.
pub(crate) fn read<T: DeserializeOwned>(what: &str, state: &State) -> Result<T> {
    if state.schema != SCHEMA {
        let text = format!(
            "state of {what} has schema {}, known is {SCHEMA}",
            state.schema
        );
        return Err(Error::internal(text));
    }
    serde_json::from_value(state.data.clone())
        .map_err(|e| Error::internal(format!("read the state of {what}: {e}")))
}

#[cfg(test)]
impl NetworkRecord {
    pub(crate) fn plain(bridge: &str, subnet: Subnet) -> Self {
        Self {
            bridge: bridge.to_owned(),
            subnet,
            gateway: subnet.first(),
            range: None,
            reserved: Vec::new(),
            internal: false,
            masquerade: true,
            mtu: 0,
            host_ip: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_survive_the_round_trip() {
        let network = NetworkRecord::plain("br", "10.0.0.0/8".parse().unwrap());
        let state = write(&network).unwrap();
        assert_eq!(read::<NetworkRecord>("network n", &state).unwrap(), network);
        let newer = State { schema: 2, ..state };
        assert!(read::<NetworkRecord>("network n", &newer).is_err());
        assert!(read::<NetworkRecord>("network n", &State::default()).is_err());
    }

    #[test]
    fn hardware_addresses_are_read_strictly() {
        let mac = Mac::of([172, 30, 0, 2].into());
        assert_eq!(String::from(mac), "02:42:ac:1e:00:02");
        assert_eq!(Mac::try_from(String::from(mac)), Ok(mac));
        for bad in [
            "",
            "02:42",
            "01:00:00:00:00:01",
            "02:42:ac:1e:00:02:03",
            "2:42:ac:1e:0:2",
        ] {
            Mac::try_from(bad.to_owned()).unwrap_err();
        }
    }
}
