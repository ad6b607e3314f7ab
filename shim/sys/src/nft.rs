//! nf_tables over netlink: tables, chains, sets, maps and rules, changed in transactions.
//!
//! A [`Transaction`] happens whole or not at all, in one system call, and only its last request is
//! acknowledged: publishing a port costs microseconds. Numbers are those of
//! `include/uapi/linux/netfilter/nf_tables.h`; in this family all of them are big-endian.
//!
//! It knows no rule set of its own and never flushes: callers add and delete by difference.

mod expression;
mod list;
mod object;
mod transaction;

pub use expression::{Expression, Set as SetName, Verdict};
pub use list::{ElementInfo, RuleInfo, chain_policy, elements, rules, table_comment};
pub use object::{Chain, Element, Hook, KeyType, Set, Value};
pub use transaction::Transaction;

/// Type of base chain and priority names used with [`Hook`]: where in the kernel a chain is called
/// (`enum nf_inet_hooks`).
pub mod hook {
    /// Every packet that comes in.
    pub const PREROUTING: u32 = 0;
    /// Packets that are passed on.
    pub const FORWARD: u32 = 2;
    /// Packets this host makes.
    pub const OUTPUT: u32 = 3;
    /// Every packet that goes out.
    pub const POSTROUTING: u32 = 4;
}

pub(crate) const fn message(kind: u16) -> u16 {
    // NFNL_SUBSYS_NFTABLES
    (10 << 8) | kind
}

pub(crate) mod number {
    //! Message types (`enum nf_tables_msg_types`).
    pub(crate) const NEW_TABLE: u16 = 0;
    pub(crate) const GET_TABLE: u16 = 1;
    pub(crate) const DEL_TABLE: u16 = 2;
    pub(crate) const NEW_CHAIN: u16 = 3;
    pub(crate) const GET_CHAIN: u16 = 4;
    pub(crate) const NEW_RULE: u16 = 6;
    pub(crate) const GET_RULE: u16 = 7;
    pub(crate) const DEL_RULE: u16 = 8;
    pub(crate) const NEW_SET: u16 = 9;
    pub(crate) const NEW_ELEMENT: u16 = 12;
    pub(crate) const GET_ELEMENT: u16 = 13;
    pub(crate) const DEL_ELEMENT: u16 = 14;
}

/// To which packets a table belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 packets.
    Ipv4,
    /// Frames that pass a bridge.
    Bridge,
}

/// A table by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table<'a> {
    /// Its family; the same name in another one is another table.
    pub family: Family,
    /// Its name.
    pub name: &'a str,
}

impl std::fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Family {
    /// `struct nfgenmsg` of this family.
    pub(crate) const fn header(self) -> [u8; 4] {
        match self {
            Self::Ipv4 => [nix::libc::NFPROTO_IPV4 as u8, 0, 0, 0],
            Self::Bridge => [nix::libc::NFPROTO_BRIDGE as u8, 0, 0, 0],
        }
    }
}

#[cfg(test)]
mod tests;
