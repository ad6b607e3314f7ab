//! The expressions rules are made of: load something into a register, compare, look up, act.

use crate::netlink::Buffer;

const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const REGISTER_1: u32 = 1;
const NAT_FAMILY_IPV4: u32 = nix::libc::NFPROTO_IPV4 as u32;

/// Name of a set with the sense of the lookup.
#[derive(Debug, Clone, Copy)]
pub enum Set<'a> {
    /// Go on if the key is in it.
    In(&'a str),
    /// Go on if it is not.
    NotIn(&'a str),
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy)]
pub enum Verdict<'a> {
    /// Done with this hook's chain.
    Accept,
    /// Gone.
    Drop,
    /// On in another chain of the table.
    Jump(&'a str),
}

/// One step of a rule. Registers are numbered in 4-byte units from 8 (`NFT_REG32_00`); 1 to 4 are
/// the same space in 16-byte units.
#[derive(Debug, Clone, Copy)]
pub enum Expression<'a> {
    /// Load of `NFT_META_*` number into a register.
    Meta(u32, u32),
    /// Load of `len` bytes at `offset` of a header (1 network, 2 transport) into a register.
    Payload {
        /// Which header.
        base: u32,
        /// Bytes into it.
        offset: u32,
        /// Bytes to load.
        length: u32,
        /// Register.
        to: u32,
    },
    /// Load of `NFT_CT_*` number into register 1.
    Ct(u32),
    /// Type of the destination address (`RTN_*`) into register 1.
    FibDestinationType,
    /// Register 1 and a mask, in host order.
    Mask(u32),
    /// Go on if register 1 equals these bytes.
    Equal(&'a [u8]),
    /// Go on if it does not.
    NotEqual(&'a [u8]),
    /// Go on by membership of the key from register 1 on.
    Lookup(Set<'a>),
    /// Load the value under that key into register 1; no such key ends the rule.
    Map(&'a str),
    /// Translate the destination to the address in register 1 and the port in the register after
    /// (32-bit register 1).
    DestinationNat,
    /// Translate the source to the address of the link it leaves by.
    Masquerade,
    /// Count packets (iptables expects it in its rules).
    Counter,
    /// End of the rule.
    Verdict(Verdict<'a>),
}

/// `NFT_META_IIFNAME`
const META_IN_NAME: u32 = 6;
/// `NFT_META_OIFNAME`
const META_OUT_NAME: u32 = 7;
/// `NFT_META_L4PROTO`
const META_PROTOCOL: u32 = 16;
/// `NFT_META_PROTOCOL`
const META_ETHERTYPE: u32 = 1;
/// `NFT_CT_STATE`
const CT_STATE: u32 = 0;
/// `NFT_CT_STATUS`
const CT_STATUS: u32 = 2;

impl<'a> Expression<'a> {
    /// Name of the link by which the packet came, in register 1.
    pub const IN_NAME: Self = Self::Meta(META_IN_NAME, REGISTER_1);
    /// Name of the link by which it goes, in register 1.
    pub const OUT_NAME: Self = Self::Meta(META_OUT_NAME, REGISTER_1);
    /// Name of the link by which it goes, as the second part of a key of two names.
    pub const OUT_NAME_SECOND: Self = Self::Meta(META_OUT_NAME, 2);
    /// Type of an ethernet frame (big-endian) in register 1.
    pub const ETHERTYPE: Self = Self::Meta(META_ETHERTYPE, REGISTER_1);
    /// Transport protocol, first part of a key.
    pub const PROTOCOL: Self = Self::Meta(META_PROTOCOL, REGISTER_1);
    /// `ct state`, to be masked.
    pub const STATE: Self = Self::Ct(CT_STATE);
    /// `ct status`, to be masked.
    pub const STATUS: Self = Self::Ct(CT_STATUS);

    /// IPv4 destination into the register of the n-th part of a key of 4-byte parts.
    #[must_use]
    pub const fn destination(part: u32) -> Self {
        Self::Payload {
            base: 1,
            offset: 16,
            length: 4,
            to: 8 + part,
        }
    }

    /// IPv4 source into the register of the n-th part of a key of 4-byte parts.
    #[must_use]
    pub const fn source(part: u32) -> Self {
        Self::Payload {
            base: 1,
            offset: 12,
            length: 4,
            to: 8 + part,
        }
    }

    /// Destination port of TCP and UDP into the register of the n-th part of a key.
    #[must_use]
    pub const fn destination_port(part: u32) -> Self {
        Self::Payload {
            base: 2,
            offset: 2,
            length: 2,
            to: 8 + part,
        }
    }

    /// First byte of the IPv4 source (offset 12) or destination (offset 16) in register 1.
    #[must_use]
    pub const fn first_byte(offset: u32) -> Self {
        Self::Payload {
            base: 1,
            offset,
            length: 1,
            to: REGISTER_1,
        }
    }

    pub(super) fn encode(&self, b: &mut Buffer) {
        b.nest(LIST_ELEMENT, |b| {
            b.string(EXPRESSION_NAME, self.name());
            b.nest(EXPRESSION_DATA, |b| self.encode_data(b));
        });
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Meta(..) => "meta",
            Self::Payload { .. } => "payload",
            Self::Ct(_) => "ct",
            Self::FibDestinationType => "fib",
            Self::Mask(_) => "bitwise",
            Self::Equal(_) | Self::NotEqual(_) => "cmp",
            Self::Lookup(_) | Self::Map(_) => "lookup",
            Self::DestinationNat => "nat",
            Self::Masquerade => "masq",
            Self::Counter => "counter",
            Self::Verdict(_) => "immediate",
        }
    }

    fn encode_data(&self, b: &mut Buffer) {
        match *self {
            Self::Meta(key, to) => {
                b.net_u32(1, to);
                b.net_u32(2, key);
            }
            Self::Payload {
                base,
                offset,
                length,
                to,
            } => {
                b.net_u32(1, to);
                b.net_u32(2, base);
                b.net_u32(3, offset);
                b.net_u32(4, length);
            }
            Self::Ct(key) => {
                b.net_u32(1, REGISTER_1);
                b.net_u32(2, key);
            }
            Self::FibDestinationType => {
                b.net_u32(1, REGISTER_1);
                b.net_u32(2, 3); // NFT_FIB_RESULT_ADDRTYPE
                b.net_u32(3, 2); // NFTA_FIB_F_DADDR
            }
            Self::Mask(mask) => encode_mask(b, mask),
            Self::Equal(value) => encode_compare(b, 0, value),
            Self::NotEqual(value) => encode_compare(b, 1, value),
            Self::Lookup(set) => {
                let (name, invert) = match set {
                    Set::In(name) => (name, 0),
                    Set::NotIn(name) => (name, 1),
                };
                b.string(1, name);
                b.net_u32(2, REGISTER_1);
                b.net_u32(5, invert);
            }
            Self::Map(name) => {
                b.string(1, name);
                b.net_u32(2, REGISTER_1);
                b.net_u32(3, REGISTER_1);
            }
            Self::DestinationNat => {
                b.net_u32(1, 1); // NFT_NAT_DNAT
                b.net_u32(2, NAT_FAMILY_IPV4);
                b.net_u32(3, REGISTER_1);
                b.net_u32(5, 9); // NFT_REG32_01: the port is the value's second part
            }
            Self::Masquerade | Self::Counter => {}
            Self::Verdict(verdict) => encode_verdict(b, verdict),
        }
    }
}

fn encode_mask(b: &mut Buffer, mask: u32) {
    b.net_u32(1, REGISTER_1);
    b.net_u32(2, REGISTER_1);
    b.net_u32(3, 4);
    b.nest(4, |b| b.attribute(DATA_VALUE, &mask.to_ne_bytes()));
    b.nest(5, |b| b.attribute(DATA_VALUE, &[0; 4]));
}

fn encode_compare(b: &mut Buffer, operator: u32, value: &[u8]) {
    b.net_u32(1, REGISTER_1);
    b.net_u32(2, operator);
    b.nest(3, |b| b.attribute(DATA_VALUE, value));
}

fn encode_verdict(b: &mut Buffer, verdict: Verdict<'_>) {
    let (code, chain): (i32, _) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
    };
    b.net_u32(1, 0); // NFT_REG_VERDICT
    b.nest(2, |b| {
        b.nest(DATA_VERDICT, |b| {
            b.attribute(VERDICT_CODE, &code.to_be_bytes());
            if let Some(chain) = chain {
                b.string(VERDICT_CHAIN, chain);
            }
        });
    });
}
