//! What exists, in memory: networks with their leases, endpoints, ports. No I/O.
//!
//! It is filled by `reconcile` and `create` from what the host keeps, and is never the truth by
//! itself: the host's records and the kernel are.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Instant;

use gantry_sdk::{Error, ErrorCode, Result};

use crate::lease::{Holder, Leases};
use crate::ports::Ports;
use crate::record::{EndpointRecord, NetworkRecord};
use crate::subnet::Subnet;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) networks: BTreeMap<String, Network>,
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    pub(crate) ports: Ports,
    /// Links of endpoints that left and may not be gone yet.
    pub(crate) leaving: BTreeMap<String, Leaving>,
}

/// A network and its leases.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) record: NetworkRecord,
    pub(crate) leases: Leases,
}

/// An endpoint: on the way, or made.
#[derive(Debug)]
pub(crate) enum Endpoint {
    Joining { network: String },
    Made(EndpointRecord),
}

/// A link whose endpoint has left.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) network: String,
    pub(crate) since: Instant,
}

impl Book {
    /// Adds a network unless it is there.
    pub(crate) fn add_network(&mut self, id: &str, record: &NetworkRecord) {
        self.networks
            .entry(id.to_owned())
            .or_insert_with(|| Network {
                leases: Leases::new(record),
                record: record.clone(),
            });
    }

    /// Subnets of all networks but one.
    pub(crate) fn subnets(&self, but: &str) -> Vec<Subnet> {
        let others = self.networks.iter().filter(|(id, _)| *id != but);
        others.map(|(_, n)| n.record.subnet).collect()
    }

    /// True if a network has an endpoint.
    pub(crate) fn has_endpoints(&self, network: &str) -> bool {
        self.endpoints.values().any(|e| match e {
            Endpoint::Joining { network: n } => n == network,
            Endpoint::Made(record) => record.network == network,
        })
    }

    /// Reserves an address for an endpoint.
    ///
    /// # Errors
    /// `NotFound` for the network, `InvalidArgument` and `AlreadyExists` for the address asked
    /// for, `ResourceExhausted` when none is left.
    pub(crate) fn lease(
        &mut self,
        network: &str,
        endpoint: &str,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Ipv4Addr> {
        let Some(Network { record, leases }) = self.networks.get_mut(network) else {
            return Err(Error::not_found(format!(
                "network {network} does not exist"
            )));
        };
        let Some(address) = wanted else {
            return leases.any(endpoint).ok_or_else(|| {
                let what = format!("no address is left in subnet {}", record.subnet);
                Error::new(ErrorCode::ResourceExhausted, what)
            });
        };
        let (first, last) = record.subnet.bounds();
        let number = u32::from(address);
        if !record.subnet.contains(address) || number == first || number == last {
            let what = format!("address {address} is not one of subnet {}", record.subnet);
            return Err(Error::invalid(what));
        }
        match leases.one(address, endpoint) {
            Ok(()) => Ok(address),
            Err(Holder::Leaving(link)) => {
                let what = format!("address {address} is in use until link {link} is gone");
                Err(Error::in_use(what))
            }
            Err(_) => Err(Error::exists(format!("Address already in use: {address}"))),
        }
    }

    /// Takes everything an endpoint has, at once: nothing was made for it.
    pub(crate) fn forget(&mut self, endpoint: &str, network: &str, address: Ipv4Addr) {
        self.endpoints.remove(endpoint);
        self.ports.release(endpoint);
        if let Some(network) = self.networks.get_mut(network) {
            network.leases.give_back(address, endpoint);
        }
    }

    /// An endpoint has left; its address rests until its link is seen gone.
    pub(crate) fn left(&mut self, endpoint: &str, record: &EndpointRecord) {
        self.endpoints.remove(endpoint);
        self.ports.release(endpoint);
        if let Some(network) = self.networks.get_mut(&record.network) {
            network.leases.leaving(record.address, &record.link);
            let leaving = Leaving {
                network: record.network.clone(),
                since: Instant::now(),
            };
            self.leaving.insert(record.link.clone(), leaving);
        }
    }

    /// Links to be looked for: those that left `network`, or all.
    pub(crate) fn leaving_of(&self, network: Option<&str>) -> Vec<String> {
        let of = |l: &Leaving| network.is_none_or(|n| l.network == n);
        let found = self.leaving.iter().filter(|(_, l)| of(l));
        found.map(|(link, _)| link.clone()).collect()
    }

    /// A link is gone: its address is free.
    pub(crate) fn link_gone(&mut self, link: &str) {
        if let Some(leaving) = self.leaving.remove(link)
            && let Some(network) = self.networks.get_mut(&leaving.network)
        {
            network.leases.free(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(link: &str, address: Ipv4Addr) -> EndpointRecord {
        EndpointRecord {
            network: "n".into(),
            link: link.into(),
            interface: "eth0".into(),
            address,
            mac: crate::record::Mac::of(address),
            default_route: true,
            ports: Vec::new(),
        }
    }

    #[test]
    fn an_address_is_free_when_its_link_is_gone() {
        let mut book = Book::default();
        book.add_network(
            "n",
            &NetworkRecord::plain("b", "10.0.0.0/30".parse().unwrap()),
        );
        let address = book.lease("n", "e", None).unwrap();
        assert_eq!(address, Ipv4Addr::from([10, 0, 0, 2]));
        let code = |r: Result<Ipv4Addr>| r.unwrap_err().code;
        assert_eq!(
            code(book.lease("n", "f", None)),
            ErrorCode::ResourceExhausted
        );
        assert_eq!(
            code(book.lease("n", "f", Some(address))),
            ErrorCode::AlreadyExists
        );
        let outside = Some([10, 0, 0, 3].into());
        assert_eq!(
            code(book.lease("n", "f", outside)),
            ErrorCode::InvalidArgument
        );
        assert_eq!(code(book.lease("m", "f", None)), ErrorCode::NotFound);
        let made = record("v1", address);
        book.endpoints
            .insert("e".into(), Endpoint::Made(made.clone()));
        assert!(book.has_endpoints("n"));
        book.left("e", &made);
        assert!(!book.has_endpoints("n"));
        assert_eq!(code(book.lease("n", "f", Some(address))), ErrorCode::InUse);
        book.link_gone("v1");
        assert_eq!(book.lease("n", "f", None).unwrap(), address);
    }
}
