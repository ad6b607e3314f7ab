//! Connection tracking: forget UDP flows of a port.
//!
//! A UDP "connection" lives as long as packets come, so one older than a published port goes on
//! past the new rule, and one younger than its end goes on to an address that belongs to somebody
//! else. `include/uapi/linux/netfilter/nfnetlink_conntrack.h`.

use std::net::Ipv4Addr;

use super::Result;
use super::batch::Batch;
use super::message::{Buffer, Message, attributes};
use super::socket::Socket;

const CT_NEW: u16 = 0x100;
const CT_GET: u16 = 0x101;
const CT_DELETE: u16 = 0x102;
const TUPLE_ORIG: u16 = 1;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;
const INET: u8 = nix::libc::AF_INET as u8;
const UDP: u8 = nix::libc::IPPROTO_UDP as u8;
const NFGENMSG: usize = 4;

/// The first packet of a tracked UDP flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Who sent it.
    pub source: (Ipv4Addr, u16),
    /// To whom it was sent, before any translation.
    pub destination: (Ipv4Addr, u16),
}

/// Forgets every UDP flow whose first packet went to one of `ports`; answers how many.
///
/// Walks the whole table (milliseconds): only for UDP. A flow that ends meanwhile is no error.
///
/// # Errors
/// What the kernel refused, for example when it has no connection tracking.
pub fn forget_udp(socket: &mut Socket, ports: &[u16]) -> Result<usize> {
    let mut batch = Batch::new();
    batch.request("list tracked flows", CT_GET, 0, |b| b.raw(&[INET, 0, 0, 0]));
    let mut flows = Vec::new();
    socket.dump(&batch, |m| {
        flows.extend(parse(&m).filter(|f| ports.contains(&f.destination.1)));
    })?;
    for flow in &flows {
        let mut batch = Batch::new();
        forget(&mut batch, flow);
        match socket.execute(batch) {
            Err(error) if !error.is_missing() => return Err(error),
            _ => {}
        }
    }
    Ok(flows.len())
}

fn forget(batch: &mut Batch, flow: &Flow) {
    let what = format!(
        "forget the flow to {}:{}",
        flow.destination.0, flow.destination.1
    );
    batch.request(what, CT_DELETE, 0, |b| {
        b.raw(&[INET, 0, 0, 0]);
        b.nest(TUPLE_ORIG, |b| tuple(b, flow));
    });
}

fn tuple(buffer: &mut Buffer, flow: &Flow) {
    buffer.nest(TUPLE_IP, |b| {
        b.attribute(IP_V4_SRC, &flow.source.0.octets());
        b.attribute(IP_V4_DST, &flow.destination.0.octets());
    });
    buffer.nest(TUPLE_PROTO, |b| {
        b.attribute(PROTO_NUM, &[UDP]);
        b.attribute(PROTO_SRC_PORT, &flow.source.1.to_be_bytes());
        b.attribute(PROTO_DST_PORT, &flow.destination.1.to_be_bytes());
    });
}

fn parse(message: &Message<'_>) -> Option<Flow> {
    if message.kind != CT_NEW {
        return None;
    }
    let tuple = attributes(message.payload.get(NFGENMSG..)?).get(TUPLE_ORIG)?;
    let ip = tuple.nested().get(TUPLE_IP)?.nested();
    let proto = tuple.nested().get(TUPLE_PROTO)?.nested();
    if proto.get(PROTO_NUM)?.value != [UDP] {
        return None;
    }
    let address = |kind| {
        Some(Ipv4Addr::from(
            <[u8; 4]>::try_from(ip.get(kind)?.value).ok()?,
        ))
    };
    let port = |kind| Some(u16::from_be_bytes(proto.get(kind)?.value.try_into().ok()?));
    Some(Flow {
        source: (address(IP_V4_SRC)?, port(PROTO_SRC_PORT)?),
        destination: (address(IP_V4_DST)?, port(PROTO_DST_PORT)?),
    })
}
