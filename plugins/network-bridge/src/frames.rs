//! Frames on our bridges: IPv6 is off, for all of them.
//!
//! A container may send what it likes to its neighbours, a router advertisement for example, and
//! the kernel in their namespaces believes it: they would get an address and a default route of the
//! sender's choice. The sysctl against that can only be written inside a namespace, so frames of
//! IPv6 are dropped where they enter a bridge. All our links have names that begin alike, so that
//! one rule does for all.
//!
//! ```text
//! table bridge gantry_x {
//!   guard  filter prerouting  iifname "g12345*" meta protocol ip6 drop
//! }
//! ```

use gantry_sdk::Result;
use gantry_sys::netlink::Socket;
use gantry_sys::nft::{Chain, Expression as E, Hook, Verdict, hook};

use crate::names::Names;
use crate::rules::ensure_table;

const VERSION: &str = "v1";
/// `ETH_P_IPV6`
const IPV6: [u8; 2] = 0x86dd_u16.to_be_bytes();

/// Drops IPv6 frames that come by one of our links.
///
/// # Errors
/// What the kernel refused; an old or small one has no tables for bridges.
pub(crate) fn ensure(socket: &mut Socket, names: &Names) -> Result<()> {
    ensure_table(socket, names, names.frame_table(), VERSION, |t, table| {
        let hook = Some(Hook {
            kind: "filter",
            number: hook::PREROUTING,
            priority: -300,
        });
        t.add_chain(
            table,
            &Chain {
                name: "guard",
                hook,
            },
        );
        let prefix = names.link_prefix();
        let rule = [
            E::IN_NAME,
            E::Equal(prefix.as_bytes()),
            E::ETHERTYPE,
            E::Equal(&IPV6),
            E::Verdict(Verdict::Drop),
        ];
        t.append_rule(table, "guard", &rule, "");
    })
    .map(drop)
}
