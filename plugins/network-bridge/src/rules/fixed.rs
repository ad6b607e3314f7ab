//! What is always in our table, whatever networks there are: its sets, chains and rules.
//!
//! The rules are drawn at the top of `rules.rs`. Any change here needs another [`VERSION`].

use gantry_sys::nft::{
    Chain, Expression as E, Hook, KeyType, Set, SetName, Table, Transaction, Verdict, hook,
};

/// Changes whenever the fixed part does: a table of another version is made anew.
pub(crate) const VERSION: &str = "v1";
/// Sets and maps: name, parts of a key, parts of a value.
pub(crate) const SETS: [(&str, &[KeyType], &[KeyType]); 7] = [
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

/// The part that is the same whatever networks there are.
pub(crate) fn fixed(t: &mut Transaction, table: Table<'_>) {
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
