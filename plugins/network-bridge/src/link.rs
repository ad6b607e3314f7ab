//! Links: the bridge of a network, the veth of an endpoint and what is inside the sandbox.

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use gantry_sdk::{Error, ErrorCode, Result};
use gantry_sys::netlink::{
    Address, Batch, Link, Socket, Veth, add_address, add_bridge, add_default_route, add_veth,
    addresses, delete_link, find_link, links, set_alias, set_bridge_port, set_down,
    set_link_sysctl, set_master, set_no_link_local, set_up,
};

use crate::error::kernel;
use crate::record::{EndpointRecord, Mac, NetworkRecord};
use crate::subnet::Subnet;

/// The link of that name if it carries that mark.
///
/// # Errors
/// `FailedPrecondition` when the name is somebody else's.
pub(crate) fn own(host: &mut Socket, name: &str, mark: &str) -> Result<Option<Link>> {
    match find_link(host, name).map_err(kernel)? {
        Some(link) if link.alias.as_deref() == Some(mark) => Ok(Some(link)),
        Some(_) => {
            let what = format!("link {name} belongs to somebody else");
            Err(Error::new(ErrorCode::FailedPrecondition, what))
        }
        None => Ok(None),
    }
}

/// The subnet and address of a bridge that is there already.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn bridge_address(host: &mut Socket, link: &Link) -> Result<Option<(Subnet, Ipv4Addr)>> {
    let all = addresses(host).map_err(kernel)?;
    let found = all.iter().find(|a| a.link == link.index);
    Ok(found.map(|a| (Subnet::of(a.address, a.prefix), a.address)))
}

/// Makes a network's bridge, or puts right what is missing of it; true when it had to be made.
///
/// # Errors
/// `FailedPrecondition` when the name is somebody else's.
pub(crate) fn ensure_bridge(
    host: &mut Socket,
    network: &NetworkRecord,
    mark: &str,
) -> Result<bool> {
    let name = &network.bridge;
    let made = own(host, name, mark)?.is_none();
    if made {
        let mut batch = Batch::new();
        // An address of its own, or the bridge would take on that of its lowest port.
        add_bridge(&mut batch, name, Mac::of(network.gateway).0, network.mtu);
        set_alias(&mut batch, name, mark);
        host.execute(batch).map_err(kernel)?;
    }
    set_link_sysctl("ipv6", name, "disable_ipv6", "1").map_err(kernel)?;
    if !network.internal {
        // So that a packet from the host's 127.0.0.1 may leave by this link, and its answer come in.
        set_link_sysctl("ipv4", name, "route_localnet", "1").map_err(kernel)?;
    }
    let Some(link) = own(host, name, mark)? else {
        return Err(Error::internal(format!(
            "bridge {name} vanished while it was made"
        )));
    };
    let mut batch = Batch::new();
    let address = Address {
        link: link.index,
        address: network.gateway,
        prefix: network.subnet.prefix(),
    };
    if !addresses(host).map_err(kernel)?.contains(&address) {
        add_address(&mut batch, address);
    }
    set_up(&mut batch, name);
    host.execute(batch).map_err(kernel)?;
    Ok(made)
}

/// Makes an endpoint's veth: our end up on the bridge, the other in the sandbox, down.
///
/// # Errors
/// What the kernel refused; then nothing is left of it.
pub(crate) fn connect(
    host: &mut Socket,
    network: &NetworkRecord,
    endpoint: &EndpointRecord,
    netns: BorrowedFd<'_>,
    mark: &str,
) -> Result<()> {
    let Some(bridge) = find_link(host, &network.bridge).map_err(kernel)? else {
        let what = format!("bridge {} is missing", network.bridge);
        return Err(Error::new(ErrorCode::FailedPrecondition, what));
    };
    if own(host, &endpoint.link, mark)?.is_some() {
        // Left by a join whose outcome nobody learned.
        remove(host, &endpoint.link)?;
    }
    let mut batch = Batch::new();
    let veth = Veth {
        name: &endpoint.link,
        master: bridge.index,
        peer: &endpoint.interface,
        namespace: netns,
        peer_address: endpoint.mac.0,
        mtu: network.mtu,
    };
    add_veth(&mut batch, &veth);
    set_alias(&mut batch, &endpoint.link, mark);
    set_no_link_local(&mut batch, &endpoint.link);
    set_bridge_port(&mut batch, &endpoint.link, true);
    host.execute(batch).map_err(kernel)
}

/// Puts an endpoint's link, which is there, on its bridge again.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn reconnect(host: &mut Socket, bridge: u32, link: &str) -> Result<()> {
    let mut batch = Batch::new();
    set_master(&mut batch, link, bridge);
    set_bridge_port(&mut batch, link, true);
    set_up(&mut batch, link);
    host.execute(batch).map_err(kernel)
}

/// A free name for an interface inside.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn free_name(inside: &mut Socket) -> Result<String> {
    let taken = links(inside).map_err(kernel)?;
    let names = (0..).map(|n| format!("eth{n}"));
    let mut free = names.filter(|name| !taken.iter().any(|l| l.name == *name));
    Ok(free.next().expect("there are more names than links"))
}

/// Brings up what is inside the sandbox: loopback, the interface with its address, the route.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn set_up_inside(
    inside: &mut Socket,
    network: &NetworkRecord,
    endpoint: &EndpointRecord,
) -> Result<()> {
    let name = &endpoint.interface;
    let Some(link) = find_link(inside, name).map_err(kernel)? else {
        return Err(Error::internal(format!(
            "interface {name} is not in the sandbox"
        )));
    };
    let mut batch = Batch::new();
    set_up(&mut batch, "lo");
    set_no_link_local(&mut batch, name);
    set_up(&mut batch, name);
    let address = Address {
        link: link.index,
        address: endpoint.address,
        prefix: network.subnet.prefix(),
    };
    add_address(&mut batch, address);
    if endpoint.default_route {
        add_default_route(&mut batch, network.gateway, link.index);
    }
    inside.execute(batch).map_err(kernel)
}

/// Takes the host's end down: from now on nothing passes. True if it was there.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn disconnect(host: &mut Socket, link: &str) -> Result<bool> {
    let mut batch = Batch::new();
    set_down(&mut batch, link);
    match host.execute(batch) {
        Err(error) if error.is_missing() => Ok(false),
        other => other.map(|()| true).map_err(kernel),
    }
}

/// Deletes a link, if it is there. Takes 20 ms and more.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn remove(host: &mut Socket, link: &str) -> Result<()> {
    let mut batch = Batch::new();
    delete_link(&mut batch, link);
    match host.execute(batch) {
        Err(error) if error.is_missing() => Ok(()),
        other => other.map_err(kernel),
    }
}
