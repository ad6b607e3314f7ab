//! What a transaction makes: chains, sets and maps, elements.

use std::net::Ipv4Addr;

use crate::netlink::Buffer;

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const NF_ACCEPT: u32 = 1;

const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LENGTH: u16 = 7;
const SET_ID: u16 = 10;
const SET_USERDATA: u16 = 13;
/// Userdata of type 0 in a set: its keys' byte order, 1 for the host's. Only `nft list` reads it,
/// which otherwise takes a name's first byte for its last.
const KEY_IN_HOST_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};
const SET_FLAG_MAP: u32 = 8;

pub(super) const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_USERDATA: u16 = 6;
pub(super) const DATA_VALUE: u16 = 1;
/// Comments are userdata of type 0 in every kind of object but none else is read here (libnftnl
/// `include/libnftnl/udata.h`): type, length, text with NUL.
const UDATA_COMMENT: u8 = 0;

/// A comment as userdata; cut to what one length byte can say.
pub(super) fn comment(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(250)];
    let length = u8::try_from(text.len() + 1).expect("cut to 250 above");
    let mut bytes = vec![UDATA_COMMENT, length];
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

/// The comment in userdata.
pub(super) fn comment_of(mut bytes: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = bytes {
        let value = rest.get(..usize::from(*length))?;
        if *kind == UDATA_COMMENT {
            let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
            return std::str::from_utf8(&value[..end]).ok().map(str::to_owned);
        }
        bytes = &rest[usize::from(*length)..];
    }
    None
}

/// Where the kernel calls a chain. Its policy is accept.
#[derive(Debug, Clone, Copy)]
pub struct Hook<'a> {
    /// `filter` or `nat`.
    pub kind: &'a str,
    /// One of [`super::hook`].
    pub number: u32,
    /// Order among the chains of one hook, lowest first.
    pub priority: i32,
}

/// A chain; without hook it is only jumped to.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// Its name; beware that `dnat`, `fwd` and others are keywords of `nft`.
    pub name: &'a str,
    /// Where it is called.
    pub hook: Option<Hook<'a>>,
}

impl Chain<'_> {
    pub(super) fn encode(&self, table: &str, b: &mut Buffer) {
        b.string(CHAIN_TABLE, table);
        b.string(CHAIN_NAME, self.name);
        let Some(hook) = self.hook else { return };
        b.nest(CHAIN_HOOK, |b| {
            b.net_u32(HOOK_NUMBER, hook.number);
            b.attribute(HOOK_PRIORITY, &hook.priority.to_be_bytes());
        });
        b.net_u32(CHAIN_POLICY, NF_ACCEPT);
        b.string(CHAIN_TYPE, hook.kind);
    }
}

/// Types of keys, numbered as `nft` numbers them so that `nft list` can show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// IPv4 address.
    Ipv4,
    /// Number of a transport protocol.
    Protocol,
    /// Port.
    Port,
    /// Name of a link.
    LinkName,
}

impl KeyType {
    const fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::LinkName => 41,
        }
    }

    /// Bytes it takes in a key: whole registers of 4.
    const fn length(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Protocol | Self::Port => 4,
            Self::LinkName => 16,
        }
    }

    fn together(types: &[Self]) -> (u32, u32) {
        // nft: six bits a part, the first part highest.
        types.iter().fold((0, 0), |(number, length), t| {
            ((number << 6) | t.number(), length + t.length())
        })
    }
}

/// A set, or a map when it has data.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// Parts of its keys.
    pub key: &'a [KeyType],
    /// Parts of its values; empty for a plain set.
    pub data: &'a [KeyType],
}

impl Set<'_> {
    pub(super) fn encode(&self, table: &str, id: u32, b: &mut Buffer) {
        let (key, key_length) = KeyType::together(self.key);
        b.string(SET_TABLE, table);
        b.string(SET_NAME, self.name);
        b.net_u32(
            SET_FLAGS,
            if self.data.is_empty() {
                0
            } else {
                SET_FLAG_MAP
            },
        );
        b.net_u32(SET_KEY_TYPE, key);
        b.net_u32(SET_KEY_LENGTH, key_length);
        if !self.data.is_empty() {
            let (data, data_length) = KeyType::together(self.data);
            b.net_u32(SET_DATA_TYPE, data);
            b.net_u32(SET_DATA_LENGTH, data_length);
        }
        b.net_u32(SET_ID, id);
        if self.key == [KeyType::LinkName] {
            b.attribute(SET_USERDATA, &KEY_IN_HOST_ORDER);
        }
    }
}

/// One part of a key or of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// IPv4 address.
    Ipv4(Ipv4Addr),
    /// Number of a transport protocol.
    Protocol(u8),
    /// Port.
    Port(u16),
    /// Name of a link, at most 15 bytes.
    LinkName(String),
}

impl Value {
    fn write(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        let length = match self {
            Self::Ipv4(address) => {
                bytes.extend_from_slice(&address.octets());
                4
            }
            Self::Protocol(number) => {
                bytes.push(*number);
                4
            }
            Self::Port(port) => {
                bytes.extend_from_slice(&port.to_be_bytes());
                4
            }
            Self::LinkName(name) => {
                bytes.extend_from_slice(&name.as_bytes()[..name.len().min(15)]);
                16
            }
        };
        bytes.resize(start + length, 0);
    }

    /// The bytes of a key or value of these parts, as the kernel keeps and lists them.
    #[must_use]
    pub fn join(values: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16);
        values.iter().for_each(|v| v.write(&mut bytes));
        bytes
    }
}

/// One element of a set or map.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    /// Parts of its key.
    pub key: &'a [Value],
    /// Parts of its value; empty for a plain set.
    pub data: &'a [Value],
    /// Its comment; may be empty.
    pub mark: &'a str,
}

impl Element<'_> {
    pub(super) fn encode(&self, b: &mut Buffer) {
        b.nest(ELEMENT_KEY, |b| {
            b.attribute(DATA_VALUE, &Value::join(self.key))
        });
        if !self.data.is_empty() {
            b.nest(ELEMENT_DATA, |b| {
                b.attribute(DATA_VALUE, &Value::join(self.data))
            });
        }
        if !self.mark.is_empty() {
            b.attribute(ELEMENT_USERDATA, &comment(self.mark));
        }
    }
}
