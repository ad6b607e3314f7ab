//! `join`: an address, a veth, what is inside the sandbox, published ports, in this order.

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use gantry_sdk::network::{Interface, JoinAnswer, JoinRequest, Port};
use gantry_sdk::{Call, Error, ErrorCode, Result};
use gantry_sys::netlink::{Protocol, Socket};

use crate::book::Endpoint;
use crate::driver::{Bridge, made, open};
use crate::error::injected;
use crate::record::{EndpointRecord, Mac, NetworkRecord, Published, write};
use crate::{link, ports, rules};

/// What was asked, read.
struct Wanted {
    address: Option<Ipv4Addr>,
    mac: Option<Mac>,
    ports: Vec<Published>,
}

impl Bridge {
    /// Connects a sandbox, or answers as before.
    pub(crate) fn join_endpoint(&self, call: &Call<'_>, r: &JoinRequest) -> Result<JoinAnswer> {
        let id = &r.network.id;
        let network = self
            .network(&r.network)?
            .ok_or_else(|| Error::not_found(format!("network {id} does not exist")))?;
        if let Some(there) = made(&self.book(), &r.endpoint) {
            return answer(&network, there, r);
        }
        let wanted = read(r, &network)?;
        let index = r.netns.ok_or_else(|| {
            let what = "a bridge network needs a sandbox with a namespace of its own";
            Error::new(ErrorCode::FailedPrecondition, what)
        })?;
        let netns = call.fd(index)?;
        let mut host = open(Protocol::Route)?;
        self.sweep(&mut host, None)?;
        let (address, ports) = self.reserve(&mut host, r, &network, &wanted)?;
        let mut record = EndpointRecord {
            network: id.clone(),
            link: self.names.link(&r.endpoint),
            interface: r.interface.clone(),
            address,
            mac: wanted.mac.unwrap_or_else(|| Mac::of(address)),
            default_route: r.default_route && !network.internal,
            ports,
        };
        if let Err(error) = self.connect(call, &mut host, r, &network, netns, &mut record) {
            return Err(self.undo(&mut host, r, &record, error));
        }
        let answer = answer(&network, &record, r);
        let mut book = self.book();
        book.endpoints
            .insert(r.endpoint.clone(), Endpoint::Made(record));
        answer
    }

    /// Address and ports, in the book only. Addresses whose link lingers are freed when there is
    /// no other.
    fn reserve(
        &self,
        host: &mut Socket,
        r: &JoinRequest,
        network: &NetworkRecord,
        wanted: &Wanted,
    ) -> Result<(Ipv4Addr, Vec<Published>)> {
        let id = &r.network.id;
        let link = self.names.link(&r.endpoint);
        if self.book().leaving.contains_key(&link) {
            // The same endpoint again: its old link has the name the new one needs.
            self.sweep(host, Some(id))?;
        }
        let lease = || {
            let mut book = self.book();
            book.add_network(id, network);
            if book.endpoints.contains_key(&r.endpoint) {
                let what = format!("endpoint {} is being joined", r.endpoint);
                return Err(Error::in_use(what));
            }
            book.lease(id, &r.endpoint, wanted.address)
        };
        let address = match lease() {
            Err(error)
                if matches!(error.code, ErrorCode::ResourceExhausted | ErrorCode::InUse)
                    && !self.book().leaving_of(Some(id)).is_empty() =>
            {
                self.sweep(host, Some(id))?;
                lease()?
            }
            other => other?,
        };
        let mut book = self.book();
        let mut taken = wanted.ports.clone();
        if let Err(error) = book.ports.take(&r.endpoint, &mut taken) {
            book.forget(&r.endpoint, id, address);
            return Err(error);
        }
        let joining = Endpoint::Joining {
            network: id.clone(),
        };
        book.endpoints.insert(r.endpoint.clone(), joining);
        Ok((address, taken))
    }

    fn connect(
        &self,
        call: &Call<'_>,
        host: &mut Socket,
        r: &JoinRequest,
        network: &NetworkRecord,
        netns: BorrowedFd<'_>,
        record: &mut EndpointRecord,
    ) -> Result<()> {
        use nix::libc::{AF_NETLINK, SOCK_RAW};
        let mark = self.names.endpoint_mark(&r.endpoint);
        let inside = call
            .netns_socket(netns, AF_NETLINK, SOCK_RAW, Protocol::Route.number())
            .map_err(|e| Error::io("open a netlink socket in the sandbox", &e))?;
        let mut inside = Socket::from_fd(inside);
        if record.interface.is_empty() {
            record.interface = link::free_name(&mut inside)?;
        }
        gantry_fault::point("network-bridge.join.before-link").map_err(injected)?;
        link::connect(host, network, record, netns, &mark)?;
        gantry_fault::point("network-bridge.join.after-link").map_err(injected)?;
        link::set_up_inside(&mut inside, network, record)?;
        gantry_fault::point("network-bridge.join.after-address").map_err(injected)?;
        if record.ports.is_empty() {
            return Ok(());
        }
        let entries = rules::of_ports(record.address, &record.ports, &mark);
        rules::add(&mut *self.firewall()?, self.names.table(), &entries)?;
        gantry_fault::point("network-bridge.join.after-rules").map_err(injected)?;
        self.forget_flows(&record.ports);
        Ok(())
    }

    fn undo(
        &self,
        host: &mut Socket,
        r: &JoinRequest,
        record: &EndpointRecord,
        error: Error,
    ) -> Error {
        let undone = self.remove_rules(&r.endpoint, record).and_then(|()| {
            match link::own(host, &record.link, &self.names.endpoint_mark(&r.endpoint)) {
                Ok(Some(_)) => link::remove(host, &record.link),
                // Not there, or a stranger's, which may be why it failed.
                _ => Ok(()),
            }
        });
        match undone {
            Ok(()) => {
                self.book()
                    .forget(&r.endpoint, &record.network, record.address);
                error
            }
            Err(second) => {
                self.book().left(&r.endpoint, record);
                self.warn(&format!("undo the join of {}: {second}", r.endpoint));
                error.unknown()
            }
        }
    }

    /// Takes an endpoint's published ports out of the table.
    pub(crate) fn remove_rules(&self, endpoint: &str, record: &EndpointRecord) -> Result<()> {
        if record.ports.is_empty() {
            return Ok(());
        }
        let mark = self.names.endpoint_mark(endpoint);
        let entries = rules::of_ports(record.address, &record.ports, &mark);
        gantry_fault::point("network-bridge.leave.before-rules").map_err(injected)?;
        rules::remove(&mut *self.firewall()?, self.names.table(), &entries)?;
        gantry_fault::point("network-bridge.leave.after-rules").map_err(injected)?;
        self.forget_flows(&record.ports);
        Ok(())
    }
}

fn read(r: &JoinRequest, network: &NetworkRecord) -> Result<Wanted> {
    if let Some(option) = r.options.keys().next() {
        return Err(Error::invalid(format!("unknown endpoint option {option}")));
    }
    if r.address6.is_some() {
        return Err(Error::unimplemented(
            "endpoints with IPv6 addresses are not done",
        ));
    }
    let interface = &r.interface;
    let bad = |b: u8| b == b'/' || b == b':' || !b.is_ascii_graphic();
    if interface.len() > 15 || interface.bytes().any(bad) || interface == "lo" {
        return Err(Error::invalid(format!(
            "{interface:?} is no name for an interface"
        )));
    }
    let address = r.address.as_deref().filter(|a| !a.is_empty()).map(|text| {
        text.parse()
            .map_err(|_| Error::invalid(format!("{text:?} is not an IPv4 address")))
    });
    let mac = r.mac.clone().filter(|m| !m.is_empty());
    let mac = mac.map(|text| Mac::try_from(text).map_err(Error::invalid));
    // Nothing leads into an internal network: its ports are published nowhere.
    let ports = if network.internal { &[][..] } else { &r.ports };
    let ports = ports.iter().map(|p| ports::read(p, network.host_ip));
    Ok(Wanted {
        address: address.transpose()?,
        mac: mac.transpose()?,
        ports: ports.collect::<Result<_>>()?,
    })
}

fn answer(network: &NetworkRecord, record: &EndpointRecord, r: &JoinRequest) -> Result<JoinAnswer> {
    let gateway = record.default_route.then(|| network.gateway.to_string());
    let interface = Interface {
        name: record.interface.clone(),
        mac: record.mac.into(),
        addresses: vec![format!("{}/{}", record.address, network.subnet.prefix())],
        gateways: gateway.into_iter().collect(),
        mtu: network.mtu,
    };
    Ok(JoinAnswer {
        state: write(record)?,
        interfaces: vec![interface],
        ports: answered_ports(&record.ports, &r.ports),
        ..JoinAnswer::default()
    })
}

/// Ports as they were asked for, with what was open filled in: whoever compares request and answer
/// must find "every address" said in the same way.
fn answered_ports(published: &[Published], asked: &[Port]) -> Vec<Port> {
    let mut answer: Vec<Port> = published.iter().map(Published::answer).collect();
    for (port, asked) in answer.iter_mut().zip(asked) {
        if port.host_ip.is_empty() {
            port.host_ip.clone_from(&asked.host_ip);
        }
    }
    answer
}
