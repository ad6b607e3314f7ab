//! Our own nf_tables table: fixed rules that look everything up in sets, and the elements that
//! networks and published ports put into them.
//!
//! As `nft list` shows it:
//!
//! ```text
//! table ip gantry_x {
//!   set bridges      { ifname }             every bridge of ours
//!   set open_bridges { ifname }             those with a way out (not internal)
//!   set nat_bridges  { ifname }             those whose packets leave with the host's address
//!   set same         { ifname . ifname }    each bridge with itself
//!   set self         { addr . addr }        each endpoint with published ports with itself
//!   map ports_any    { proto . port : addr . port }
//!   map ports_ip     { proto . addr . port : addr . port }
//!   guard       raw prerouting   iifname @bridges ip saddr or daddr 127/8 drop
//!   prerouting  nat              fib daddr type local jump published
//!   output      nat              fib daddr type local jump published
//!   postrouting nat              masquerade: 127/8 to a bridge, redirected from bridge to bridge or
//!                                to oneself, and @nat_bridges to elsewhere
//!   forward     filter           to a bridge: established, redirected, from itself; else drop
//!                                from a bridge: only @open_bridges
//! }
//! ```
//!
//! `guard` exists because route_localnet, which lets the host's 127.0.0.1 reach published ports,
//! would also let containers reach (and pretend to be) the host's loopback.

mod fixed;
mod table;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gantry_sdk::Result;
use gantry_sys::netlink::Socket;
use gantry_sys::nft::{Element, Table, Transaction, Value, elements};

use crate::error::kernel;
use crate::names::Names;
use crate::record::{NetworkRecord, Published};
use fixed::{SETS, VERSION, fixed};

pub(crate) use table::{drop_table, ensure_table};

/// An element of one of our sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) set: &'static str,
    pub(crate) key: Vec<Value>,
    pub(crate) data: Vec<Value>,
    pub(crate) mark: String,
}

impl Entry {
    pub(crate) fn element(&self) -> Element<'_> {
        Element {
            key: &self.key,
            data: &self.data,
            mark: &self.mark,
        }
    }
}

/// What a network has in the table.
pub(crate) fn of_network(network: &NetworkRecord, mark: &str) -> Vec<Entry> {
    let name = || Value::LinkName(network.bridge.clone());
    let entry = |set, key| Entry {
        set,
        key,
        data: Vec::new(),
        mark: mark.to_owned(),
    };
    let mut entries = vec![
        entry("bridges", vec![name()]),
        entry("same", vec![name(), name()]),
    ];
    if !network.internal {
        entries.push(entry("open_bridges", vec![name()]));
        if network.masquerade {
            entries.push(entry("nat_bridges", vec![name()]));
        }
    }
    entries
}

/// What an endpoint's published ports have in the table.
pub(crate) fn of_ports(address: Ipv4Addr, ports: &[Published], mark: &str) -> Vec<Entry> {
    let entry = |port: &Published| {
        let (proto, number) = (
            Value::Protocol(port.transport.number()),
            Value::Port(port.host_port),
        );
        let (set, key) = match port.host_ip {
            None => ("ports_any", vec![proto, number]),
            Some(ip) => ("ports_ip", vec![proto, Value::Ipv4(ip), number]),
        };
        Entry {
            set,
            key,
            data: vec![Value::Ipv4(address), Value::Port(port.container_port)],
            mark: mark.to_owned(),
        }
    };
    let mut entries: Vec<Entry> = ports.iter().map(entry).collect();
    if !entries.is_empty() {
        entries.push(Entry {
            set: "self",
            key: vec![Value::Ipv4(address), Value::Ipv4(address)],
            data: Vec::new(),
            mark: mark.to_owned(),
        });
    }
    entries
}

/// Sees to it that the table is there, and is ours; true when it had to be made.
///
/// # Errors
/// As [`ensure_table`].
pub(crate) fn ensure(socket: &mut Socket, names: &Names) -> Result<bool> {
    ensure_table(socket, names, names.table(), VERSION, fixed)
}

/// Puts entries into the table.
///
/// # Errors
/// `AlreadyExists` when one has another value there.
pub(crate) fn add(socket: &mut Socket, table: Table<'_>, entries: &[Entry]) -> Result<()> {
    let mut t = Transaction::new();
    for entry in entries {
        t.add_element(table, entry.set, &entry.element());
    }
    t.commit(socket).map_err(kernel)
}

/// Takes entries of one mark out of the table; those that are not there are left at that.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn remove(socket: &mut Socket, table: Table<'_>, entries: &[Entry]) -> Result<()> {
    let mut t = Transaction::new();
    for entry in entries {
        t.delete_element(table, entry.set, &entry.element());
    }
    match (t.commit(socket), entries.first()) {
        // One is missing, so none was taken. Trying each would cost 10 ms apiece: a transaction
        // that fails waits for all readers of the rules.
        (Err(error), Some(first)) if error.is_missing() => {
            remove_marked(socket, table, &first.mark)
        }
        (other, _) => other.map_err(kernel),
    }
}

/// Takes out whatever carries a mark.
///
/// # Errors
/// What the kernel refused, except that the table is not there.
pub(crate) fn remove_marked(socket: &mut Socket, table: Table<'_>, mark: &str) -> Result<()> {
    let mut t = Transaction::new();
    for (set, ..) in SETS {
        let there = match elements(socket, table, set) {
            Err(error) if error.is_missing() => continue,
            other => other.map_err(kernel)?,
        };
        for element in there.iter().filter(|e| e.mark == mark) {
            t.delete_raw(table, set, &element.key);
        }
    }
    t.commit(socket).map_err(kernel)
}

/// Makes the sets hold exactly `wanted`, in one transaction; answers the marks of what was put in
/// and of what was taken out.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn agree(
    socket: &mut Socket,
    table: Table<'_>,
    wanted: &[Entry],
) -> Result<(Vec<String>, Vec<String>)> {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    let mut t = Transaction::new();
    for (set, ..) in SETS {
        let there = elements(socket, table, set).map_err(kernel)?;
        let mut missing: BTreeMap<Vec<u8>, &Entry> = BTreeMap::new();
        for entry in wanted.iter().filter(|e| e.set == set) {
            missing.insert(Value::join(&entry.key), entry);
        }
        for element in there {
            let same = missing.get(&element.key).is_some_and(|entry| {
                element.data == Value::join(&entry.data) && element.mark == entry.mark
            });
            if same {
                missing.remove(&element.key);
            } else {
                t.delete_raw(table, set, &element.key);
                removed.push(element.mark);
            }
        }
        for entry in missing.into_values() {
            t.add_element(table, set, &entry.element());
            added.push(entry.mark.clone());
        }
    }
    t.commit(socket).map_err(kernel)?;
    Ok((added, removed))
}

#[cfg(test)]
mod tests;
