//! The network driver `bridge`: a bridge per network, a veth per endpoint, addresses, masquerading
//! and published IPv4 ports, all by netlink.
//!
//! What it makes on the host derives its name from the instance and carries the instance's random
//! id as a mark (alias of a link, comment of a table, element or rule); only what has both is ever
//! deleted. Rules are changed by difference. It enters no namespace: sockets inside a sandbox come
//! from the host, and what has no netlink message there (IPv6 sysctls) is the supervisor's.

mod book;
mod create;
mod driver;
mod error;
mod foreign;
mod frames;
mod join;
mod lease;
mod leave;
mod link;
mod names;
mod options;
mod ports;
mod reconcile;
mod record;
mod rules;
mod subnet;

use driver::Bridge;

gantry_sdk::export_plugin! {
    kind: network,
    name: "bridge",
    driver: Bridge,
}
