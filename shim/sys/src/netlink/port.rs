//! Settings of a link as a port of a bridge (`IFLA_BRPORT_*` in if_link.h).

use nix::libc::{IFLA_IFNAME, IFLA_LINKINFO, RTM_NEWLINK};

use super::batch::Batch;

const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;

/// Asks for a bridge port's hairpin flag: a frame may leave through the port by which it came.
/// A container reaching itself by its published port needs that where bridged frames pass through
/// netfilter (`bridge-nf-call-iptables`), because its packet is then redirected inside the bridge.
pub fn set_bridge_port(batch: &mut Batch, name: &str, hairpin: bool) {
    let what = format!("set hairpin of bridge port {name}");
    batch.request(what, RTM_NEWLINK, 0, |b| {
        b.raw(&[0; 16]);
        b.string(IFLA_IFNAME, name);
        b.nest(IFLA_LINKINFO, |b| {
            b.string(IFLA_INFO_SLAVE_KIND, "bridge");
            b.nest(IFLA_INFO_SLAVE_DATA, |b| {
                b.attribute(IFLA_BRPORT_MODE, &[u8::from(hairpin)]);
            });
        });
    });
}
