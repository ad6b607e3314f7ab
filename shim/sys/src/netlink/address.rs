//! IPv4 addresses of links: rtnetlink(7), `include/uapi/linux/if_addr.h`.

use std::net::Ipv4Addr;

use nix::libc::{IFA_ADDRESS, IFA_LOCAL, NLM_F_CREATE, NLM_F_REPLACE, RTM_GETADDR, RTM_NEWADDR};

use super::Result;
use super::batch::Batch;
use super::message::{Message, attributes};
use super::socket::Socket;

const IFADDRMSG: usize = 8;
const IFA_BROADCAST: u16 = 4;
const INET: u8 = nix::libc::AF_INET as u8;

/// An IPv4 address on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The link's index.
    pub link: u32,
    /// The address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix, 0 to 32.
    pub prefix: u8,
}

/// Asks for an address; the same one again is no error.
pub fn add_address(batch: &mut Batch, address: Address) {
    let Address {
        link,
        address,
        prefix,
    } = address;
    let flags = (NLM_F_CREATE | NLM_F_REPLACE) as u16;
    let what = format!("add address {address}/{prefix} to link {link}");
    batch.request(what, RTM_NEWADDR, flags, |b| {
        b.raw(&[INET, prefix, 0, 0]);
        b.raw(&link.to_ne_bytes());
        b.attribute(IFA_LOCAL, &address.octets());
        b.attribute(IFA_ADDRESS, &address.octets());
        if prefix < 31 {
            let broadcast = u32::from(address) | (u32::MAX >> prefix);
            b.attribute(IFA_BROADCAST, &broadcast.to_be_bytes());
        }
    });
}

/// All IPv4 addresses of the socket's namespace.
///
/// # Errors
/// What the kernel refused.
pub fn addresses(socket: &mut Socket) -> Result<Vec<Address>> {
    let mut batch = Batch::new();
    batch.request("list addresses", RTM_GETADDR, 0, |b| {
        b.raw(&[INET, 0, 0, 0, 0, 0, 0, 0]);
    });
    let mut found = Vec::new();
    socket.dump(&batch, |m| found.extend(parse(&m)))?;
    Ok(found)
}

fn parse(message: &Message<'_>) -> Option<Address> {
    if message.kind != RTM_NEWADDR {
        return None;
    }
    let head = message.payload.get(..IFADDRMSG)?;
    let all = attributes(&message.payload[IFADDRMSG..]);
    let value = all.get(IFA_LOCAL).or_else(|| all.get(IFA_ADDRESS))?.value;
    let octets: [u8; 4] = value.try_into().ok()?;
    Some(Address {
        link: u32::from_ne_bytes(head[4..8].try_into().ok()?),
        address: octets.into(),
        prefix: head[1],
    })
}
