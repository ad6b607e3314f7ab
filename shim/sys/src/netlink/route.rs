//! IPv4 routes: the default route of a container, and the host's routes to keep clear of.

use std::net::Ipv4Addr;

use nix::libc::{
    NLM_F_CREATE, NLM_F_REPLACE, RTA_DST, RTA_GATEWAY, RTA_OIF, RTM_GETROUTE, RTM_NEWROUTE,
    RTN_UNICAST,
};

use super::Result;
use super::batch::Batch;
use super::message::{Message, attributes};
use super::socket::Socket;

const RTMSG: usize = 12;
const INET: u8 = nix::libc::AF_INET as u8;
const TABLE_MAIN: u8 = 254;
const PROTO_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;

/// One unicast IPv4 route of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// First address of the destination.
    pub destination: Ipv4Addr,
    /// Length of its prefix; 0 is the default route.
    pub prefix: u8,
    /// Index of the link it leaves by.
    pub link: Option<u32>,
}

/// Asks for a default route; the same one again is no error.
pub fn add_default_route(batch: &mut Batch, gateway: Ipv4Addr, link: u32) {
    let flags = (NLM_F_CREATE | NLM_F_REPLACE) as u16;
    let what = format!("add default route by {gateway}");
    batch.request(what, RTM_NEWROUTE, flags, |b| {
        b.raw(&[
            INET,
            0,
            0,
            0,
            TABLE_MAIN,
            PROTO_BOOT,
            SCOPE_UNIVERSE,
            RTN_UNICAST,
        ]);
        b.raw(&[0; 4]);
        b.attribute(RTA_GATEWAY, &gateway.octets());
        b.host_u32(RTA_OIF, link);
    });
}

/// The unicast IPv4 routes of all tables.
///
/// # Errors
/// What the kernel refused.
pub fn routes(socket: &mut Socket) -> Result<Vec<Route>> {
    let mut batch = Batch::new();
    batch.request("list routes", RTM_GETROUTE, 0, |b| {
        b.raw(&[INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    });
    let mut found = Vec::new();
    socket.dump(&batch, |m| found.extend(parse(&m)))?;
    Ok(found)
}

fn parse(message: &Message<'_>) -> Option<Route> {
    let head = message.payload.get(..RTMSG)?;
    if message.kind != RTM_NEWROUTE || head[7] != RTN_UNICAST {
        return None;
    }
    let all = attributes(&message.payload[RTMSG..]);
    let destination = match all.get(RTA_DST) {
        Some(a) => Ipv4Addr::from(<[u8; 4]>::try_from(a.value).ok()?),
        None => Ipv4Addr::UNSPECIFIED,
    };
    Some(Route {
        destination,
        prefix: head[1],
        link: all.get(RTA_OIF).and_then(|a| a.host_u32()),
    })
}
