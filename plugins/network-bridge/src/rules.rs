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

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gantry_sdk::{Error, ErrorCode, Result};
use gantry_sys::netlink::Socket;
use gantry_sys::nft::{
    Chain, Element, Expression as E, Hook, KeyType, Set, SetName, Table, Transaction, Value,
    Verdict, elements, hook, table_comment,
};

use crate::error::kernel;
use crate::names::Names;
use crate::record::{NetworkRecord, Published};

/// Changes whenever the fixed part does: a table of another version is made anew.
const VERSION: &str = "v1";
/// Sets and maps: name, parts of a key, parts of a value.
const SETS: [(&str, &[KeyType], &[KeyType]); 7] = [
    ("bridges", &[KeyType::LinkName], &[]),
    ("open_bridges", &[KeyType::LinkName], &[]),
    ("nat_bridges", &[KeyType::LinkName], &[]),
    ("same", &[KeyType::LinkName, KeyType::LinkName], &[]),
    ("self", &[KeyType::Ipv4, KeyType::Ipv4], &[]),
    ("ports_any", &[KeyType::Protocol, KeyType::Port], TARGET),
    (
        "ports_ip",
        &[KeyType::Protocol, KeyType::Ipv4, KeyType::Port],
        TARGET,
    ),
];
/// Where a published port leads.
const TARGET: &[KeyType] = &[KeyType::Ipv4, KeyType::Port];
/// `RTN_LOCAL`: an address of the host itself.
const LOCAL: [u8; 4] = 2u32.to_ne_bytes();
/// `IPS_DST_NAT`: a rule changed the destination.
const REDIRECTED: u32 = 1 << 5;
/// `NF_CT_STATE_BIT` of established and related.
const KNOWN: u32 = 0b110;
const ZERO: [u8; 4] = [0; 4];

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

/// Sees to it that one of our tables is there in this version; `fixed` writes what is always in it.
/// True when it had to be made.
///
/// # Errors
/// `FailedPrecondition` when a table of that name belongs to somebody else.
pub(crate) fn ensure_table(
    socket: &mut Socket,
    names: &Names,
    table: Table<'_>,
    version: &str,
    fixed: impl FnOnce(&mut Transaction, Table<'_>),
) -> Result<bool> {
    let wanted = format!("{} {version}", names.own_mark());
    let mut transaction = Transaction::new();
    match table_comment(socket, table).map_err(kernel)? {
        Some(mark) if mark == wanted => return Ok(false),
        // Of another version of this driver: its elements are put back by difference.
        Some(mark) if names.is_own(&mark) => transaction.delete_table(table),
        Some(mark) => {
            let what = format!(
                "nf_tables table {table} belongs to another gantryd of this instance name (its \
                 mark is {mark:?}): give this one another name, or remove that one's table"
            );
            return Err(Error::new(ErrorCode::FailedPrecondition, what));
        }
        None => {}
    }
    transaction.add_table(table, &wanted);
    fixed(&mut transaction, table);
    transaction.commit(socket).map_err(kernel)?;
    Ok(true)
}

/// Deletes one of our tables, if it is there and ours.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn drop_table(socket: &mut Socket, names: &Names, table: Table<'_>) -> Result<()> {
    let mark = table_comment(socket, table).map_err(kernel)?;
    if !mark.is_some_and(|mark| names.is_own(&mark)) {
        return Ok(());
    }
    let mut transaction = Transaction::new();
    transaction.delete_table(table);
    transaction.commit(socket).map_err(kernel)
}

/// The part that is the same whatever networks there are.
fn fixed(t: &mut Transaction, table: Table<'_>) {
    for (name, key, data) in SETS {
        t.add_set(table, &Set { name, key, data });
    }
    let base = |kind, number, priority| {
        Some(Hook {
            kind,
            number,
            priority,
        })
    };
    let chains = [
        ("published", None),
        ("to_bridge", None),
        // Before connection tracking (-200), which would already see an address translated back.
        ("guard", base("filter", hook::PREROUTING, -300)),
        ("prerouting", base("nat", hook::PREROUTING, -100)),
        ("output", base("nat", hook::OUTPUT, -100)),
        ("postrouting", base("nat", hook::POSTROUTING, 100)),
        ("forward", base("filter", hook::FORWARD, 0)),
    ];
    for (name, hook) in chains {
        t.add_chain(table, &Chain { name, hook });
    }
    nat_rules(t, table);
    filter_rules(t, table);
}

fn nat_rules(t: &mut Transaction, table: Table<'_>) {
    let of = |set| E::Lookup(SetName::In(set));
    // The narrower one first: an address of its own wins over every address.
    let by_address = [
        E::PROTOCOL,
        E::destination(1),
        E::destination_port(2),
        E::Map("ports_ip"),
        E::DestinationNat,
    ];
    let by_port = [
        E::PROTOCOL,
        E::destination_port(1),
        E::Map("ports_any"),
        E::DestinationNat,
    ];
    t.append_rule(table, "published", &by_address, "");
    t.append_rule(table, "published", &by_port, "");
    let local = [
        E::FibDestinationType,
        E::Equal(&LOCAL),
        E::Verdict(Verdict::Jump("published")),
    ];
    t.append_rule(table, "prerouting", &local, "");
    t.append_rule(table, "output", &local, "");
    let from_loopback = [
        E::first_byte(12),
        E::Equal(&[127]),
        E::OUT_NAME,
        of("bridges"),
        E::Masquerade,
    ];
    // Without this the answer would go from neighbour to neighbour, past the translation.
    let round = [
        E::STATUS,
        E::Mask(REDIRECTED),
        E::NotEqual(&ZERO),
        E::IN_NAME,
        of("bridges"),
        E::OUT_NAME,
        of("bridges"),
        E::Masquerade,
    ];
    // A container that reaches itself by its published port: inside a bridge, where frames pass
    // netfilter without a link they came by.
    let oneself = [E::source(0), E::destination(1), of("self"), E::Masquerade];
    let out = [
        E::IN_NAME,
        of("nat_bridges"),
        E::OUT_NAME,
        E::Lookup(SetName::NotIn("bridges")),
        E::Masquerade,
    ];
    t.append_rule(table, "postrouting", &from_loopback, "");
    t.append_rule(table, "postrouting", &round, "");
    t.append_rule(table, "postrouting", &oneself, "");
    t.append_rule(table, "postrouting", &out, "");
}

fn filter_rules(t: &mut Transaction, table: Table<'_>) {
    let of = |set| E::Lookup(SetName::In(set));
    let (accept, drop) = (E::Verdict(Verdict::Accept), E::Verdict(Verdict::Drop));
    for offset in [12, 16] {
        let loopback = [
            E::IN_NAME,
            of("bridges"),
            E::first_byte(offset),
            E::Equal(&[127]),
            drop,
        ];
        t.append_rule(table, "guard", &loopback, "");
    }
    // Bridged frames pass here, too, where bridge-nf-call-iptables is on.
    let same = [E::IN_NAME, E::OUT_NAME_SECOND, of("same"), accept];
    let closed = E::Lookup(SetName::NotIn("open_bridges"));
    let outward = [E::IN_NAME, of("bridges"), E::IN_NAME, closed, drop];
    let inward = [
        E::OUT_NAME,
        of("bridges"),
        E::Verdict(Verdict::Jump("to_bridge")),
    ];
    t.append_rule(table, "forward", &same, "");
    t.append_rule(table, "forward", &outward, "");
    t.append_rule(table, "forward", &inward, "");
    // First: nothing leads into a closed bridge, whoever began.
    t.append_rule(table, "to_bridge", &[E::OUT_NAME, closed, drop], "");
    for (what, mask) in [(E::STATE, KNOWN), (E::STATUS, REDIRECTED)] {
        let rule = [what, E::Mask(mask), E::NotEqual(&ZERO), accept];
        t.append_rule(table, "to_bridge", &rule, "");
    }
    t.append_rule(table, "to_bridge", &[drop], "");
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
