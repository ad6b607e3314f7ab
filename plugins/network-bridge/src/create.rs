//! `create` and `delete`: a network's bridge, its entries in the table, other firewalls' rules.

use std::net::Ipv4Addr;

use gantry_sdk::network::{CreateAnswer, CreateRequest, Ipam, NetworkRef, Pool};
use gantry_sdk::{Error, ErrorCode, Result};
use gantry_sys::netlink::{
    Protocol, Socket, addresses, find_link, ip_forward, links, routes, set_ip_forward,
};

use crate::book::Book;
use crate::driver::{Bridge, info, open};
use crate::error::{injected, kernel};
use crate::record::{NetworkRecord, write};
use crate::subnet::{Subnet, choose};
use crate::{foreign, frames, link, options, rules};

/// Room for the network itself, the bridge, one endpoint and the broadcast address.
const LONGEST_PREFIX: u8 = 30;

impl Bridge {
    /// Makes a network, or answers the one that is there.
    pub(crate) fn make_network(&self, request: &CreateRequest) -> Result<CreateAnswer> {
        let _held = self.setup();
        let mut host = open(Protocol::Route)?;
        let there = self
            .book()
            .networks
            .get(&request.id)
            .map(|n| n.record.clone());
        let (record, new) = match there {
            Some(record) => (record, false),
            None => {
                let mut book = self.book();
                let record = self.plan(&mut host, &book, request)?;
                book.add_network(&request.id, &record);
                (record, true)
            }
        };
        if let Err(error) = self.ensure(&mut host, &request.id, &record) {
            let undone = !new || self.take_down(&mut host, &request.id, &record).is_ok();
            if new {
                self.book().networks.remove(&request.id);
            }
            return Err(if undone { error } else { error.unknown() });
        }
        Ok(CreateAnswer {
            state: write(&record)?,
            ipam: ipam(&record, request),
            info: info(&record),
        })
    }

    /// What the request makes, with an address space that nobody uses.
    fn plan(
        &self,
        host: &mut Socket,
        book: &Book,
        request: &CreateRequest,
    ) -> Result<NetworkRecord> {
        if request.ipv6 {
            return Err(Error::unimplemented("networks with IPv6 are not done"));
        }
        let options = options::read(&request.options)?;
        let bridge = options
            .bridge
            .unwrap_or_else(|| self.names.bridge(&request.id));
        let pool = match request.ipam.pools.as_slice() {
            [] => &Pool::default(),
            [one] => one,
            _ => {
                return Err(Error::unimplemented(
                    "networks with several pools are not done",
                ));
            }
        };
        let others = book.subnets(&request.id);
        let subnet = if pool.subnet.is_empty() {
            self.free_subnet(host, &bridge, &request.id, others)?
        } else {
            let subnet = read_subnet(&pool.subnet)?;
            if others.iter().any(|other| other.overlaps(subnet)) {
                let what = "Pool overlaps with other one on this address space";
                return Err(Error::new(ErrorCode::FailedPrecondition, what));
            }
            subnet
        };
        let range = pool.range.as_deref().filter(|r| !r.is_empty());
        let range = range
            .map(|r| r.parse().map_err(Error::invalid))
            .transpose()?;
        if range.is_some_and(|range: Subnet| !subnet.overlaps(range)) {
            return Err(Error::invalid(format!(
                "the range is not part of subnet {subnet}"
            )));
        }
        let gateway = pool.gateway.as_deref().filter(|g| !g.is_empty());
        let gateway = gateway.map(|g| inside(subnet, g)).transpose()?;
        let reserved = pool.reserved.values().map(|a| inside(subnet, a));
        Ok(NetworkRecord {
            bridge,
            subnet,
            gateway: gateway.unwrap_or_else(|| subnet.first()),
            range,
            reserved: reserved.collect::<Result<_>>()?,
            internal: request.internal,
            masquerade: options.masquerade,
            mtu: options.mtu,
            host_ip: options.host_ip,
        })
    }

    /// The subnet of the bridge that is there already (a `create` whose outcome nobody learned),
    /// otherwise one that overlaps neither the host's routes nor our networks.
    fn free_subnet(
        &self,
        host: &mut Socket,
        bridge: &str,
        id: &str,
        mut taken: Vec<Subnet>,
    ) -> Result<Subnet> {
        let there = link::own(host, bridge, &self.names.network_mark(id))?;
        if let Some(there) = there
            && let Some((subnet, _)) = link::bridge_address(host, &there)?
        {
            return Ok(subnet);
        }
        let routed = routes(host).map_err(kernel)?;
        // The default route leads to every address: it takes none.
        let routed = routed.iter().filter(|r| r.prefix > 0);
        taken.extend(routed.map(|r| Subnet::of(r.destination, r.prefix)));
        let addresses = addresses(host).map_err(kernel)?;
        taken.extend(addresses.iter().map(|a| Subnet::of(a.address, a.prefix)));
        choose(&taken).ok_or_else(|| {
            let what = "all predefined address pools have been fully subnetted";
            Error::new(ErrorCode::ResourceExhausted, what)
        })
    }

    /// Makes what is missing of a network; answers what it was, in words.
    pub(crate) fn ensure(
        &self,
        host: &mut Socket,
        id: &str,
        record: &NetworkRecord,
    ) -> Result<Vec<String>> {
        let mut repaired = Vec::new();
        let mark = self.names.network_mark(id);
        let mut firewall = self.firewall()?;
        gantry_fault::point("network-bridge.create.before-table").map_err(injected)?;
        // The rules come first: no packet passes a bridge that nothing guards.
        if rules::ensure(&mut firewall, &self.names)? {
            repaired.push(format!("nf_tables table {} was made", self.names.table()));
        }
        gantry_fault::point("network-bridge.create.before-rules").map_err(injected)?;
        let entries = rules::of_network(record, &mark);
        rules::add(&mut firewall, self.names.table(), &entries)?;
        gantry_fault::point("network-bridge.create.before-link").map_err(injected)?;
        if let Err(error) = frames::ensure(&mut firewall, &self.names) {
            // Wanted, not needed: a kernel may lack nf_tables for bridges.
            self.warn(&format!(
                "switch IPv6 off on bridge {}: {error}",
                record.bridge
            ));
        }
        if link::ensure_bridge(host, record, &mark)? {
            repaired.push(format!("bridge {} of network {id} was made", record.bridge));
        }
        gantry_fault::point("network-bridge.create.after-link").map_err(injected)?;
        if !record.internal {
            if !ip_forward().map_err(kernel)? {
                set_ip_forward().map_err(kernel)?;
                repaired.push("forwarding of IPv4 was switched on".to_owned());
            }
            if foreign::admit(&mut firewall, self.policy, &record.bridge, &mark)? {
                repaired.push(format!(
                    "another firewall was told to let {} pass",
                    record.bridge
                ));
            }
        }
        gantry_fault::point("network-bridge.create.after-admit").map_err(injected)?;
        Ok(repaired)
    }

    /// Deletes a network.
    pub(crate) fn delete_network(&self, network: &NetworkRef) -> Result<()> {
        let _held = self.setup();
        if self.book().has_endpoints(&network.id) {
            let name = if network.name.is_empty() {
                &network.id
            } else {
                &network.name
            };
            return Err(Error::in_use(format!(
                "network {name} has active endpoints"
            )));
        }
        let mut host = open(Protocol::Route)?;
        match self.network(network)? {
            Some(record) => self.take_down(&mut host, &network.id, &record)?,
            None => self.remove_marked(&mut host, &network.id)?,
        }
        let mut book = self.book();
        book.networks.remove(&network.id);
        book.leaving.retain(|_, l| l.network != network.id);
        Ok(())
    }

    /// Removes what the making of a network left that was never finished: rules of other firewalls, links and our own
    /// rules, all found by their mark.
    fn remove_marked(&self, host: &mut Socket, id: &str) -> Result<()> {
        let mark = self.names.network_mark(id);
        let mut firewall = self.firewall()?;
        foreign::withdraw(&mut firewall, &self.names, |gone| gone == id)?;
        let all = links(host).map_err(kernel)?;
        for link in all.iter().filter(|l| l.alias.as_ref() == Some(&mark)) {
            link::remove(host, &link.name)?;
        }
        rules::remove_marked(&mut firewall, self.names.table(), &mark)?;
        if self.book().networks.keys().all(|other| other == id) {
            return self.drop_tables(&mut firewall);
        }
        Ok(())
    }

    fn take_down(&self, host: &mut Socket, id: &str, record: &NetworkRecord) -> Result<()> {
        let mark = self.names.network_mark(id);
        let mut firewall = self.firewall()?;
        gantry_fault::point("network-bridge.delete.before-withdraw").map_err(injected)?;
        foreign::withdraw(&mut firewall, &self.names, |gone| gone == id)?;
        gantry_fault::point("network-bridge.delete.before-link").map_err(injected)?;
        // The bridge goes before its rules, for the same reason for which it comes after them.
        if find_link(host, &record.bridge).map_err(kernel)?.is_some() {
            match link::own(host, &record.bridge, &mark) {
                Ok(_) => link::remove(host, &record.bridge)?,
                // A stranger's link of that name is why making failed: it stays.
                Err(error) if error.code == ErrorCode::FailedPrecondition => {}
                Err(error) => return Err(error),
            }
        }
        gantry_fault::point("network-bridge.delete.before-rules").map_err(injected)?;
        let entries = rules::of_network(record, &mark);
        rules::remove(&mut firewall, self.names.table(), &entries)?;
        gantry_fault::point("network-bridge.delete.after-rules").map_err(injected)?;
        let last = self.book().networks.keys().all(|other| other == id);
        if last {
            return self.drop_tables(&mut firewall);
        }
        Ok(())
    }

    /// Deletes our tables.
    pub(crate) fn drop_tables(&self, firewall: &mut Socket) -> Result<()> {
        rules::drop_table(firewall, &self.names, self.names.table())?;
        rules::drop_table(firewall, &self.names, self.names.frame_table())
    }
}

fn read_subnet(text: &str) -> Result<Subnet> {
    if text.contains("::") {
        return Err(Error::unimplemented("networks with IPv6 are not done"));
    }
    let subnet: Subnet = text.parse().map_err(Error::invalid)?;
    if subnet.prefix() > LONGEST_PREFIX || subnet.prefix() < 8 {
        let what = format!("subnet {subnet} must have a prefix from 8 to {LONGEST_PREFIX}");
        return Err(Error::invalid(what));
    }
    Ok(subnet)
}

fn inside(subnet: Subnet, text: &str) -> Result<Ipv4Addr> {
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| Error::invalid(format!("{text:?} is not an IPv4 address")))?;
    if !subnet.contains(address) {
        return Err(Error::invalid(format!(
            "address {address} is not one of subnet {subnet}"
        )));
    }
    Ok(address)
}

fn ipam(record: &NetworkRecord, request: &CreateRequest) -> Ipam {
    let asked = request.ipam.pools.first();
    Ipam {
        pools: vec![Pool {
            subnet: record.subnet.to_string(),
            range: record.range.map(|r| r.to_string()),
            gateway: Some(record.gateway.to_string()),
            reserved: asked.map(|p| p.reserved.clone()).unwrap_or_default(),
        }],
    }
}
