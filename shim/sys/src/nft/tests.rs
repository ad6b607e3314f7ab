//! Encodings, checked by hand once against what `nft --debug=netlink` shows for the same rules.

use super::object::{comment, comment_of};
use super::*;

const TABLE: Table<'_> = Table {
    family: Family::Ipv4,
    name: "gantry_x",
};
use crate::netlink::{attributes, messages};

#[test]
fn a_transaction_is_framed_by_marks() {
    let mut t = Transaction::new();
    assert!(t.is_empty());
    t.add_table(TABLE, "mark");
    assert!(!t.is_empty());
    let all: Vec<_> = messages(t.bytes()).collect();
    assert_eq!(all[0].kind, 16);
    assert_eq!(all[0].payload, [0, 0, 0, 10]);
    assert_eq!(all[1].kind, 0x0a00);
    assert_eq!(all[1].payload[..4], [2, 0, 0, 0]);
    let parts = attributes(&all[1].payload[4..]);
    assert_eq!(parts.get(6).map(|a| a.value), Some(&b"\0\x05mark\0"[..]));
}

#[test]
fn keys_are_parts_in_whole_registers() {
    let key = Value::join(&[
        Value::Protocol(6),
        Value::Ipv4([127, 0, 0, 1].into()),
        Value::Port(80),
    ]);
    assert_eq!(key, [6, 0, 0, 0, 127, 0, 0, 1, 0, 80, 0, 0]);
    let name = Value::join(&[Value::LinkName("gb0".to_owned())]);
    assert_eq!(name.len(), 16);
    assert_eq!(&name[..4], b"gb0\0");
}

#[test]
fn concatenated_types_have_nfts_number() {
    let mut t = Transaction::new();
    let set = Set {
        name: "ports",
        key: &[KeyType::Protocol, KeyType::Port],
        data: &[KeyType::Ipv4, KeyType::Port],
    };
    t.add_set(TABLE, &set);
    let all: Vec<_> = messages(t.bytes()).collect();
    let parts = attributes(&all[1].payload[4..]);
    assert_eq!(parts.get(4).and_then(|a| a.net_u32()), Some((12 << 6) | 13));
    assert_eq!(parts.get(5).and_then(|a| a.net_u32()), Some(8));
    assert_eq!(parts.get(6).and_then(|a| a.net_u32()), Some((7 << 6) | 13));
    assert_eq!(parts.get(3).and_then(|a| a.net_u32()), Some(8));
}

#[test]
fn comments_survive_the_round_trip() {
    assert_eq!(comment_of(&comment("abc")).as_deref(), Some("abc"));
    assert_eq!(comment_of(&[7, 1, 9, 0, 2, b'x', 0]).as_deref(), Some("x"));
    assert_eq!(comment_of(&[0, 9, 1]), None);
    assert!(comment(&"x".repeat(400)).len() < 256);
}

#[test]
fn a_jump_is_a_verdict_with_a_chain() {
    let mut t = Transaction::new();
    let rule = [
        Expression::FibDestinationType,
        Expression::Equal(&2u32.to_ne_bytes()),
        Expression::Verdict(Verdict::Jump("published")),
    ];
    t.append_rule(TABLE, "prerouting", &rule, "");
    let all: Vec<_> = messages(t.bytes()).collect();
    let parts = attributes(&all[1].payload[4..]);
    let names: Vec<_> = parts
        .get(4)
        .expect("expressions")
        .nested()
        .filter_map(|e| e.nested().get(1).and_then(|n| n.text().map(str::to_owned)))
        .collect();
    assert_eq!(names, ["fib", "cmp", "immediate"]);
}
