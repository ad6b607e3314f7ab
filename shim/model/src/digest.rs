//! The digest of a piece of content: `sha256:` and 64 lower-case hexadecimal digits, nothing else.
//!
//! Digests become file names, so the parser is strict on purpose: a string that is not exactly of this form never
//! becomes a `Digest`. No I/O and no hashing here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A sha256 digest, always `sha256:<64 lower-case hex digits>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// A string that is not a sha256 digest in its one accepted form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid digest {0:?}: want sha256: and 64 lower-case hexadecimal digits")]
pub struct InvalidDigest(String);

const PREFIX: &str = "sha256:";
const HEX: usize = 64;

fn is_hex(s: &str) -> bool {
    s.len() == HEX && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Digest {
    /// The digest of these 32 bytes (the raw sha256 value).
    #[must_use]
    pub fn from_bytes(raw: &[u8; 32]) -> Self {
        let mut s = String::with_capacity(PREFIX.len() + HEX);
        s.push_str(PREFIX);
        for b in raw {
            s.push(char::from_digit(u32::from(b >> 4), 16).expect("a nibble is below 16"));
            s.push(char::from_digit(u32::from(b & 15), 16).expect("a nibble is below 16"));
        }
        Self(s)
    }

    /// The digest with these 64 hexadecimal digits, without the `sha256:` in front.
    ///
    /// # Errors
    /// [`InvalidDigest`] unless these are exactly 64 lower-case digits.
    pub fn from_hex(hex: &str) -> Result<Self, InvalidDigest> {
        if is_hex(hex) {
            Ok(Self(format!("{PREFIX}{hex}")))
        } else {
            Err(InvalidDigest(hex.chars().take(100).collect()))
        }
    }

    /// The whole string, `sha256:` in front.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal digits alone: the name of the content's file.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[PREFIX.len()..]
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(s: &str) -> Result<Self, InvalidDigest> {
        match s.strip_prefix(PREFIX) {
            Some(hex) if is_hex(hex) => Ok(Self(s.to_owned())),
            _ => Err(InvalidDigest(s.chars().take(100).collect())),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(s: String) -> Result<Self, InvalidDigest> {
        s.parse()
    }
}

impl From<Digest> for String {
    fn from(d: Digest) -> Self {
        d.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_is_a_digest() {
        let hex = "ab".repeat(32);
        assert_eq!(
            format!("sha256:{hex}").parse::<Digest>().unwrap().hex(),
            hex
        );
        for bad in [
            "",
            "sha256:",
            &format!("sha256:{}", "AB".repeat(32)),
            &format!("sha256:{}", "ab".repeat(31)),
            &format!("sha256:{}/", "ab".repeat(31)),
            &format!("sha512:{}", "ab".repeat(64)),
            &format!("sha256:../{}", "a".repeat(61)),
            &format!(" sha256:{hex}"),
            &hex,
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_and_hex_agree() {
        let d = Digest::from_bytes(&[0x0f; 32]);
        assert_eq!(d, Digest::from_hex(&"0f".repeat(32)).unwrap());
    }
}
