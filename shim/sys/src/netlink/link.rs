//! Links: make, find, change and delete. rtnetlink(7), `include/uapi/linux/if_link.h`.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc::{
    IFF_UP, IFLA_ADDRESS, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO,
    IFLA_MASTER, IFLA_MTU, IFLA_NET_NS_FD, NLM_F_CREATE, NLM_F_EXCL, RTM_DELLINK, RTM_GETLINK,
    RTM_NEWLINK,
};

use super::batch::Batch;
use super::message::{Buffer, Message, attributes};
use super::socket::Socket;
use super::{Error, Result};

const IFINFOMSG: usize = 16;
const VETH_INFO_PEER: u16 = 1;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const UP: u32 = IFF_UP as u32;

/// What is known of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Kernel's number of the link in its namespace.
    pub index: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its alias, where Gantry writes its marks.
    pub alias: Option<String>,
    /// `veth`, `bridge`…; none for hardware.
    pub kind: Option<String>,
    /// Index of the bridge it belongs to.
    pub master: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// Link-layer address.
    pub address: Option<[u8; 6]>,
}

/// A virtual cable to be made with [`add_veth`].
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// Name of the end that stays.
    pub name: &'a str,
    /// Bridge to which the end that stays belongs.
    pub master: u32,
    /// Name of the end that goes.
    pub peer: &'a str,
    /// Network namespace of the end that goes.
    pub namespace: BorrowedFd<'a>,
    /// Link-layer address of the end that goes.
    pub peer_address: [u8; 6],
    /// MTU of both ends; 0 leaves the kernel's.
    pub mtu: u32,
}

fn header(buffer: &mut Buffer, family: u8, index: u32, flags: u32, change: u32) {
    buffer.raw(&[family, 0, 0, 0]);
    buffer.raw(&index.to_ne_bytes());
    buffer.raw(&flags.to_ne_bytes());
    buffer.raw(&change.to_ne_bytes());
}

const CREATE: u16 = (NLM_F_CREATE | NLM_F_EXCL) as u16;

/// Asks for a bridge with a link-layer address of its own (so that it does not change with its
/// ports), down.
pub fn add_bridge(batch: &mut Batch, name: &str, address: [u8; 6], mtu: u32) {
    batch.request(format!("make bridge {name}"), RTM_NEWLINK, CREATE, |b| {
        header(b, 0, 0, 0, 0);
        b.string(IFLA_IFNAME, name);
        b.attribute(IFLA_ADDRESS, &address);
        if mtu != 0 {
            b.host_u32(IFLA_MTU, mtu);
        }
        b.nest(IFLA_LINKINFO, |b| b.string(IFLA_INFO_KIND, "bridge"));
    });
}

/// Asks for a veth pair: one end here, up, on its bridge; the other in `namespace`, down.
///
/// One message does all of it, which costs a third of doing it in steps.
pub fn add_veth(batch: &mut Batch, veth: &Veth<'_>) {
    let what = format!("make veth {} to {}", veth.name, veth.peer);
    batch.request(what, RTM_NEWLINK, CREATE, |b| {
        header(b, 0, 0, UP, UP);
        b.string(IFLA_IFNAME, veth.name);
        b.host_u32(IFLA_MASTER, veth.master);
        if veth.mtu != 0 {
            b.host_u32(IFLA_MTU, veth.mtu);
        }
        b.nest(IFLA_LINKINFO, |b| {
            b.string(IFLA_INFO_KIND, "veth");
            b.nest(IFLA_INFO_DATA, |b| {
                b.nest(VETH_INFO_PEER, |b| {
                    header(b, 0, 0, 0, 0);
                    b.string(IFLA_IFNAME, veth.peer);
                    b.attribute(IFLA_ADDRESS, &veth.peer_address);
                    if veth.mtu != 0 {
                        b.host_u32(IFLA_MTU, veth.mtu);
                    }
                    let fd = u32::try_from(veth.namespace.as_raw_fd()).unwrap_or(u32::MAX);
                    b.host_u32(IFLA_NET_NS_FD, fd);
                });
            });
        });
    });
}

/// Asks that a link becomes a port of the bridge with that index.
pub fn set_master(batch: &mut Batch, name: &str, bridge: u32) {
    batch.request(
        format!("put link {name} on its bridge"),
        RTM_NEWLINK,
        0,
        |b| {
            header(b, 0, 0, 0, 0);
            b.string(IFLA_IFNAME, name);
            b.host_u32(IFLA_MASTER, bridge);
        },
    );
}

/// Asks for an alias, at most 255 bytes.
pub fn set_alias(batch: &mut Batch, name: &str, alias: &str) {
    batch.request(format!("set alias of link {name}"), RTM_NEWLINK, 0, |b| {
        header(b, 0, 0, 0, 0);
        b.string(IFLA_IFNAME, name);
        b.attribute(IFLA_IFALIAS, alias.as_bytes());
    });
}

/// Asks that the link gets no IPv6 link-local address when it comes up. Must be sent before it is
/// up: the kernel handles a message's flags before this attribute.
pub fn set_no_link_local(batch: &mut Batch, name: &str) {
    let what = format!("switch off link-local addresses of {name}");
    batch.request(what, RTM_NEWLINK, 0, |b| {
        header(b, 0, 0, 0, 0);
        b.string(IFLA_IFNAME, name);
        b.nest(IFLA_AF_SPEC, |b| {
            b.nest(nix::libc::AF_INET6 as u16, |b| {
                b.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
            });
        });
    });
}

/// Asks for a link to go up.
pub fn set_up(batch: &mut Batch, name: &str) {
    batch.request(format!("bring link {name} up"), RTM_NEWLINK, 0, |b| {
        header(b, 0, 0, UP, UP);
        b.string(IFLA_IFNAME, name);
    });
}

/// Asks for a link to go down.
pub fn set_down(batch: &mut Batch, name: &str) {
    batch.request(format!("take link {name} down"), RTM_NEWLINK, 0, |b| {
        header(b, 0, 0, 0, UP);
        b.string(IFLA_IFNAME, name);
    });
}

/// Asks for a link to be deleted; of a veth both ends go. Takes 20 ms and more (a grace period).
pub fn delete_link(batch: &mut Batch, name: &str) {
    batch.request(format!("delete link {name}"), RTM_DELLINK, 0, |b| {
        header(b, 0, 0, 0, 0);
        b.string(IFLA_IFNAME, name);
    });
}

/// The link of that name, or none.
///
/// # Errors
/// What the kernel refused, except that the link does not exist.
pub fn find_link(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    let mut batch = Batch::new();
    batch.request(format!("look up link {name}"), RTM_GETLINK, 0, |b| {
        header(b, 0, 0, 0, 0);
        b.string(IFLA_IFNAME, name);
    });
    let mut found = None;
    match socket.get(&batch, |m| found = found.take().or(parse(&m))) {
        Err(Error::Refused {
            errno: nix::errno::Errno::ENODEV,
            ..
        }) => Ok(None),
        other => other.map(|()| found),
    }
}

/// All links of the socket's namespace.
///
/// # Errors
/// What the kernel refused.
pub fn links(socket: &mut Socket) -> Result<Vec<Link>> {
    let mut batch = Batch::new();
    batch.request("list links", RTM_GETLINK, 0, |b| header(b, 0, 0, 0, 0));
    let mut found = Vec::new();
    socket.dump(&batch, |m| found.extend(parse(&m)))?;
    Ok(found)
}

fn parse(message: &Message<'_>) -> Option<Link> {
    if message.kind != RTM_NEWLINK {
        return None;
    }
    let head = message.payload.get(..IFINFOMSG)?;
    let flags = u32::from_ne_bytes(head[8..12].try_into().ok()?);
    let mut link = Link {
        index: u32::from_ne_bytes(head[4..8].try_into().ok()?),
        up: flags & UP != 0,
        ..Link::default()
    };
    for a in attributes(&message.payload[IFINFOMSG..]) {
        match a.kind {
            IFLA_IFNAME => link.name = a.text()?.to_owned(),
            IFLA_IFALIAS => link.alias = a.text().map(str::to_owned),
            IFLA_MASTER => link.master = a.host_u32(),
            IFLA_ADDRESS => link.address = a.value.try_into().ok(),
            IFLA_LINKINFO => {
                let kind = a.nested().get(IFLA_INFO_KIND);
                link.kind = kind.and_then(|k| k.text().map(str::to_owned));
            }
            _ => {}
        }
    }
    Some(link)
}
