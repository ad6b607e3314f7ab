//! Which address belongs to whom in one network. No I/O.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::record::NetworkRecord;

/// Leases of one network.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    /// First and last address endpoints may get.
    first: u32,
    last: u32,
    /// The one after the last given: an address rests as long as possible before it is used again,
    /// so that nobody's old packets reach somebody new.
    next: u32,
    taken: BTreeMap<u32, Holder>,
}

/// Who has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The bridge, or a reserved name.
    Network,
    /// An endpoint.
    Endpoint(String),
    /// Nobody any more, but the link of that name may still answer to it.
    Leaving(String),
}

impl Leases {
    pub(crate) fn new(network: &NetworkRecord) -> Self {
        let (base, broadcast) = network.subnet.bounds();
        let (first, last) = network.range.unwrap_or(network.subnet).bounds();
        let mut taken = BTreeMap::new();
        let own = [network.gateway]
            .into_iter()
            .chain(network.reserved.iter().copied());
        for address in own {
            taken.insert(address.into(), Holder::Network);
        }
        let (first, last) = (first.max(base + 1), last.min(broadcast - 1));
        Self {
            first,
            last,
            next: first,
            taken,
        }
    }

    /// Gives any free address to an endpoint.
    pub(crate) fn any(&mut self, endpoint: &str) -> Option<Ipv4Addr> {
        let rest = (self.next..=self.last).chain(self.first..self.next);
        let free = rest.into_iter().find(|a| !self.taken.contains_key(a))?;
        self.next = if free >= self.last {
            self.first
        } else {
            free + 1
        };
        self.taken
            .insert(free, Holder::Endpoint(endpoint.to_owned()));
        Some(free.into())
    }

    /// Gives one address to an endpoint, or answers who has it.
    pub(crate) fn one(&mut self, address: Ipv4Addr, endpoint: &str) -> Result<(), Holder> {
        let wanted = Holder::Endpoint(endpoint.to_owned());
        match self.taken.get(&address.into()) {
            Some(holder) if *holder != wanted => Err(holder.clone()),
            _ => {
                self.taken.insert(address.into(), wanted);
                Ok(())
            }
        }
    }

    /// The endpoint is gone; the address rests until [`Leases::free`] says that `link` is, too.
    pub(crate) fn leaving(&mut self, address: Ipv4Addr, link: &str) {
        self.taken
            .insert(address.into(), Holder::Leaving(link.to_owned()));
    }

    /// Frees what rests because of `link`.
    pub(crate) fn free(&mut self, link: &str) {
        self.taken
            .retain(|_, holder| !matches!(holder, Holder::Leaving(l) if l == link));
    }

    /// Takes an address back at once: nothing was made with it.
    pub(crate) fn give_back(&mut self, address: Ipv4Addr, endpoint: &str) {
        let mine = Holder::Endpoint(endpoint.to_owned());
        if self.taken.get(&address.into()) == Some(&mine) {
            self.taken.remove(&address.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(subnet: &str, range: Option<&str>) -> Leases {
        let subnet: crate::subnet::Subnet = subnet.parse().unwrap();
        Leases::new(&NetworkRecord {
            gateway: subnet.first(),
            range: range.map(|r| r.parse().unwrap()),
            ..NetworkRecord::plain("br", subnet)
        })
    }

    #[test]
    fn addresses_run_out_and_come_back() {
        let mut leases = leases("10.0.0.0/29", None);
        let all: Vec<_> = std::iter::from_fn(|| leases.any("e"))
            .map(|a| a.octets()[3])
            .collect();
        assert_eq!(all, [2, 3, 4, 5, 6]);
        leases.leaving([10, 0, 0, 4].into(), "veth4");
        assert_eq!(leases.any("f"), None);
        leases.free("veth4");
        assert_eq!(leases.any("f"), Some([10, 0, 0, 4].into()));
    }

    #[test]
    fn a_freed_address_rests() {
        let mut leases = leases("10.0.0.0/24", None);
        let first = leases.any("e").unwrap();
        leases.give_back(first, "e");
        assert_ne!(leases.any("f"), Some(first));
    }

    #[test]
    fn a_range_limits_what_is_given_but_not_what_is_asked() {
        let mut leases = leases("10.0.0.0/16", Some("10.0.5.0/30"));
        let all: Vec<_> = std::iter::from_fn(|| leases.any("e"))
            .map(|a| a.octets()[3])
            .collect();
        assert_eq!(all, [0, 1, 2, 3]);
        leases.one([10, 0, 9, 9].into(), "f").unwrap();
        leases.one([10, 0, 9, 9].into(), "f").unwrap();
        assert_eq!(leases.one([10, 0, 0, 1].into(), "f"), Err(Holder::Network));
        let taken = leases.one([10, 0, 9, 9].into(), "g").unwrap_err();
        assert_eq!(taken, Holder::Endpoint("f".into()));
    }
}
