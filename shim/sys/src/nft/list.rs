//! Reading what is there: is a table ours, which elements and rules carry which comment.

use super::object::comment_of;
use super::{Family, Table, message, number};
use crate::netlink::{Attributes, Batch, Buffer, Message, Result, Socket, attributes};

const TABLE_NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_POLICY: u16 = 5;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_USERDATA: u16 = 7;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_USERDATA: u16 = 6;
const DATA_VALUE: u16 = 1;
const NFGENMSG: usize = 4;

fn question(what: String, family: Family, kind: u16, body: impl FnOnce(&mut Buffer)) -> Batch {
    let mut batch = Batch::new();
    batch.request(what, message(kind), 0, |b| {
        b.raw(&family.header());
        body(b);
    });
    batch
}

fn answer<'a>(m: &Message<'a>, kind: u16) -> Option<Attributes<'a>> {
    if m.kind != message(kind) {
        return None;
    }
    Some(attributes(m.payload.get(NFGENMSG..)?))
}

/// `None` when there is no such table; its comment (or an empty one) when there is.
///
/// # Errors
/// What the kernel refused, except that it is missing.
pub fn table_comment(socket: &mut Socket, table: Table<'_>) -> Result<Option<String>> {
    let what = format!("look up nf_tables table {table}");
    let batch = question(what, table.family, number::GET_TABLE, |b| {
        b.string(TABLE_NAME, table.name)
    });
    let mut found = None;
    let asked = socket.get(&batch, |m| {
        if let Some(all) = answer(&m, number::NEW_TABLE) {
            let mark = all.get(TABLE_USERDATA).and_then(|a| comment_of(a.value));
            found = Some(mark.unwrap_or_default());
        }
    });
    match asked {
        Err(error) if error.is_missing() => Ok(None),
        other => other.map(|()| found),
    }
}

/// An element as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementInfo {
    /// Its key's bytes, parts padded to 4.
    pub key: Vec<u8>,
    /// Its value's bytes; empty in a plain set.
    pub data: Vec<u8>,
    /// Its comment, or empty.
    pub mark: String,
}

/// All elements of a set or map.
///
/// # Errors
/// What the kernel refused; a missing set is one.
pub fn elements(socket: &mut Socket, table: Table<'_>, set: &str) -> Result<Vec<ElementInfo>> {
    let what = format!("list set {set} of table {table}");
    let batch = question(what, table.family, number::GET_ELEMENT, |b| {
        b.string(LIST_TABLE, table.name);
        b.string(LIST_SET, set);
    });
    let value = |a: Option<crate::netlink::Attribute<'_>>| {
        let value = a.and_then(|a| a.nested().get(DATA_VALUE));
        value.map(|v| v.value.to_vec()).unwrap_or_default()
    };
    let mut found = Vec::new();
    socket.dump(&batch, |m| {
        let list = answer(&m, number::NEW_ELEMENT).and_then(|all| all.get(LIST_ELEMENTS));
        for element in list.iter().flat_map(|list| list.nested()) {
            let all = element.nested();
            let mark = all.get(ELEMENT_USERDATA).and_then(|a| comment_of(a.value));
            found.push(ElementInfo {
                key: value(all.get(ELEMENT_KEY)),
                data: value(all.get(ELEMENT_DATA)),
                mark: mark.unwrap_or_default(),
            });
        }
    })?;
    Ok(found)
}

/// A rule, by what is needed to find it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// The kernel's number of it in its table.
    pub handle: u64,
    /// Its comment, or empty.
    pub mark: String,
}

/// The rules of one chain. A table that is not there has none.
///
/// # Errors
/// What the kernel refused.
pub fn rules(socket: &mut Socket, table: Table<'_>, chain: &str) -> Result<Vec<RuleInfo>> {
    let what = format!("list rules of chain {chain} of table {table}");
    let batch = question(what, table.family, number::GET_RULE, |b| {
        b.string(RULE_TABLE, table.name);
        b.string(RULE_CHAIN, chain);
    });
    let mut found = Vec::new();
    let asked = socket.dump(&batch, |m| found.extend(parse_rule(&m, table, chain)));
    match asked {
        Err(error) if error.is_missing() => Ok(Vec::new()),
        other => other.map(|()| found),
    }
}

fn parse_rule(m: &Message<'_>, table: Table<'_>, chain: &str) -> Option<RuleInfo> {
    let all = answer(m, number::NEW_RULE)?;
    // Kernels before 5.0 filter less than asked for.
    if all.get(RULE_TABLE)?.text() != Some(table.name) || all.get(RULE_CHAIN)?.text() != Some(chain)
    {
        return None;
    }
    let mark = all.get(RULE_USERDATA).and_then(|a| comment_of(a.value));
    Some(RuleInfo {
        handle: u64::from_be_bytes(all.get(RULE_HANDLE)?.value.try_into().ok()?),
        mark: mark.unwrap_or_default(),
    })
}

/// `None` when there is no such chain; otherwise whether what falls through it is dropped.
///
/// # Errors
/// What the kernel refused, except that it is missing.
pub fn chain_policy(socket: &mut Socket, table: Table<'_>, chain: &str) -> Result<Option<bool>> {
    let what = format!("look up chain {chain} of table {table}");
    let batch = question(what, table.family, number::GET_CHAIN, |b| {
        b.string(CHAIN_TABLE, table.name);
        b.string(CHAIN_NAME, chain);
    });
    let mut found = None;
    let asked = socket.get(&batch, |m| {
        if let Some(all) = answer(&m, number::NEW_CHAIN) {
            found = Some(all.get(CHAIN_POLICY).and_then(|a| a.net_u32()) == Some(0));
        }
    });
    match asked {
        Err(error) if error.is_missing() => Ok(None),
        other => other.map(|()| found),
    }
}
