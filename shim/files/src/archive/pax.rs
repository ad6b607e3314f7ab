//! PAX extended records: `length key=value\n`, one after the other.

use crate::error::{Error, Result};

/// The records we act on. Others are passed over, as the specification asks.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Vec<u8>>,
    pub atime: Option<Vec<u8>>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse_major: Option<u64>,
    pub sparse_name: Option<Vec<u8>>,
    pub sparse_size: Option<u64>,
    pub sparse_map: Option<Vec<u8>>,
}

const XATTR: &[u8] = b"SCHILY.xattr.";
const MAX_XATTRS: usize = 256;

pub(super) fn parse(mut data: &[u8]) -> Result<Pax> {
    let mut pax = Pax::default();
    while !data.is_empty() {
        let (record, rest) = split_record(data)?;
        data = rest;
        let eq = record
            .iter()
            .position(|b| *b == b'=')
            .ok_or_else(|| malformed("no equals sign"))?;
        pax.set(&record[..eq], &record[eq + 1..])?;
    }
    Ok(pax)
}

fn split_record(data: &[u8]) -> Result<(&[u8], &[u8])> {
    let space = data
        .iter()
        .take(20)
        .position(|b| *b == b' ')
        .ok_or_else(|| malformed("no length"))?;
    let len =
        usize::try_from(number(&data[..space])?).map_err(|_| malformed("length too large"))?;
    if len <= space + 1 || len > data.len() || data[len - 1] != b'\n' {
        return Err(malformed("length does not fit"));
    }
    Ok((&data[space + 1..len - 1], &data[len..]))
}

impl Pax {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        // An empty value takes an earlier record back.
        let text = || (!value.is_empty()).then(|| value.to_vec());
        let num = || {
            if value.is_empty() {
                Ok(None)
            } else {
                number(value).map(Some)
            }
        };
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = num()?,
            b"uid" => self.uid = num()?,
            b"gid" => self.gid = num()?,
            b"mtime" => self.mtime = text(),
            b"atime" => self.atime = text(),
            b"GNU.sparse.major" => self.sparse_major = num()?,
            b"GNU.sparse.name" => self.sparse_name = text(),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse_size = num()?,
            b"GNU.sparse.map" => self.sparse_map = text(),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                return Err(malformed("sparse format 0.0 is not read"));
            }
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    if self.xattrs.len() == MAX_XATTRS {
                        return Err(Error::Limit(format!(
                            "more than {MAX_XATTRS} extended attributes on one entry"
                        )));
                    }
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// Decimal digits and nothing else.
pub(super) fn number(digits: &[u8]) -> Result<u64> {
    if digits.is_empty() {
        return Err(malformed("empty number"));
    }
    digits.iter().try_fold(0u64, |n, b| {
        let digit = u64::from(b.wrapping_sub(b'0'));
        if digit > 9 {
            return Err(malformed("not a number"));
        }
        n.checked_mul(10)
            .and_then(|n| n.checked_add(digit))
            .ok_or_else(|| malformed("number too large"))
    })
}

fn malformed(what: &str) -> Error {
    Error::Archive(format!("malformed pax header: {what}"))
}
