//! A batch of nf_tables requests between a begin and an end mark.

use nix::libc::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};

use super::expression::Expression;
use super::object::{Chain, DATA_VALUE, ELEMENT_KEY, Element, Set, comment};
use super::{Table, message, number};
use crate::netlink::{Batch, Buffer, Result, Socket};

const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// `struct nfgenmsg` with the subsystem's number, big-endian, as resource id.
const SUBSYSTEM: [u8; 4] = [0, 0, 0, 10];

const TABLE_NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const ELEMENT_LIST_TABLE: u16 = 1;
const ELEMENT_LIST_SET: u16 = 2;
const ELEMENT_LIST_ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;

const CREATE: u16 = NLM_F_CREATE as u16;
const CREATE_NEW: u16 = (NLM_F_CREATE | NLM_F_EXCL) as u16;

/// Changes of tables that happen all together or not at all.
#[derive(Debug, Clone)]
pub struct Transaction {
    batch: Batch,
    changes: usize,
}

impl Default for Transaction {
    fn default() -> Self {
        Self::new()
    }
}

impl Transaction {
    /// An empty transaction.
    #[must_use]
    pub fn new() -> Self {
        let mut batch = Batch::new();
        batch.request("change nf_tables", BATCH_BEGIN, 0, |b| b.raw(&SUBSYSTEM));
        Self { batch, changes: 0 }
    }

    /// True if it would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// The encoded messages so far, for tests.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.batch.bytes()
    }

    fn change(
        &mut self,
        what: String,
        table: Table<'_>,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Buffer),
    ) {
        self.changes += 1;
        self.batch.request(what, message(kind), flags, |b| {
            b.raw(&table.family.header());
            body(b);
        });
    }

    /// Does it.
    ///
    /// # Errors
    /// The first refused change; then none of them happened. `EEXIST` for an element whose key is
    /// there with another value.
    pub fn commit(mut self, socket: &mut Socket) -> Result<()> {
        if self.changes == 0 {
            return Ok(());
        }
        let last = self.changes;
        self.batch
            .request("end of nf_tables changes", BATCH_END, 0, |b| {
                b.raw(&SUBSYSTEM)
            });
        socket.exchange(&mut self.batch, last)
    }

    /// Adds a table with a comment; fails if it is there.
    pub fn add_table(&mut self, table: Table<'_>, mark: &str) {
        let what = format!("make nf_tables table {table}");
        self.change(what, table, number::NEW_TABLE, CREATE_NEW, |b| {
            b.string(TABLE_NAME, table.name);
            b.attribute(TABLE_USERDATA, &comment(mark));
        });
    }

    /// Deletes a table with all in it; fails if it is not there.
    pub fn delete_table(&mut self, table: Table<'_>) {
        let what = format!("delete nf_tables table {table}");
        self.change(what, table, number::DEL_TABLE, 0, |b| {
            b.string(TABLE_NAME, table.name)
        });
    }

    /// Adds a chain.
    pub fn add_chain(&mut self, table: Table<'_>, chain: &Chain<'_>) {
        let what = format!("make chain {} of table {table}", chain.name);
        self.change(what, table, number::NEW_CHAIN, CREATE, |b| {
            chain.encode(table.name, b)
        });
    }

    /// Adds a set or map.
    pub fn add_set(&mut self, table: Table<'_>, set: &Set<'_>) {
        // The id is how rules in the same transaction could name it; unique in here is enough.
        let id = u32::try_from(self.changes).unwrap_or(u32::MAX);
        let what = format!("make set {} of table {table}", set.name);
        self.change(what, table, number::NEW_SET, CREATE, |b| {
            set.encode(table.name, id, b)
        });
    }

    /// Adds a rule at the end of a chain.
    pub fn append_rule(
        &mut self,
        table: Table<'_>,
        chain: &str,
        rule: &[Expression<'_>],
        mark: &str,
    ) {
        self.rule(table, chain, rule, mark, CREATE | NLM_F_APPEND as u16);
    }

    /// Adds a rule at the head of a chain.
    pub fn insert_rule(
        &mut self,
        table: Table<'_>,
        chain: &str,
        rule: &[Expression<'_>],
        mark: &str,
    ) {
        self.rule(table, chain, rule, mark, CREATE);
    }

    fn rule(
        &mut self,
        table: Table<'_>,
        chain: &str,
        rule: &[Expression<'_>],
        mark: &str,
        flags: u16,
    ) {
        let what = format!("add a rule to chain {chain} of table {table}");
        self.change(what, table, number::NEW_RULE, flags, |b| {
            b.string(RULE_TABLE, table.name);
            b.string(RULE_CHAIN, chain);
            b.nest(RULE_EXPRESSIONS, |b| rule.iter().for_each(|e| e.encode(b)));
            if !mark.is_empty() {
                b.attribute(RULE_USERDATA, &comment(mark));
            }
        });
    }

    /// Deletes one rule by its handle.
    pub fn delete_rule(&mut self, table: Table<'_>, chain: &str, handle: u64) {
        let what = format!("delete a rule of chain {chain} of table {table}");
        self.change(what, table, number::DEL_RULE, 0, |b| {
            b.string(RULE_TABLE, table.name);
            b.string(RULE_CHAIN, chain);
            b.attribute(RULE_HANDLE, &handle.to_be_bytes());
        });
    }

    /// Adds an element; the very same one again is no error, another value under its key is.
    pub fn add_element(&mut self, table: Table<'_>, set: &str, element: &Element<'_>) {
        let what = format!("add an element to set {set} of table {table}");
        self.element(what, number::NEW_ELEMENT, CREATE, table, set, |b| {
            element.encode(b)
        });
    }

    /// Deletes an element by its key; fails if it is not there.
    pub fn delete_element(&mut self, table: Table<'_>, set: &str, element: &Element<'_>) {
        let what = format!("delete an element of set {set} of table {table}");
        self.element(what, number::DEL_ELEMENT, 0, table, set, |b| {
            element.encode(b)
        });
    }

    /// Deletes the element whose key has these bytes, as [`super::elements`] listed it.
    pub fn delete_raw(&mut self, table: Table<'_>, set: &str, key: &[u8]) {
        let what = format!("delete an element of set {set} of table {table}");
        self.element(what, number::DEL_ELEMENT, 0, table, set, |b| {
            b.nest(ELEMENT_KEY, |b| b.attribute(DATA_VALUE, key));
        });
    }

    fn element(
        &mut self,
        what: String,
        kind: u16,
        flags: u16,
        table: Table<'_>,
        set: &str,
        element: impl FnOnce(&mut Buffer),
    ) {
        self.change(what, table, kind, flags, |b| {
            b.string(ELEMENT_LIST_TABLE, table.name);
            b.string(ELEMENT_LIST_SET, set);
            b.nest(ELEMENT_LIST_ELEMENTS, |b| b.nest(LIST_ELEMENT, element));
        });
    }
}
