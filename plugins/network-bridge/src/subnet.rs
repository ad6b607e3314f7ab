//! Subnets: reading them, comparing them, choosing one that nobody uses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 subnet with room for endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    /// The subnet of `prefix` bits that holds `address`.
    pub(crate) fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        let base = u32::from(address) & mask(prefix);
        Self { base, prefix }
    }

    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// First and last address, whatever their use.
    pub(crate) fn bounds(self) -> (u32, u32) {
        (self.base, self.base | !mask(self.prefix))
    }

    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let ((first, last), (other_first, other_last)) = (self.bounds(), other.bounds());
        first <= other_last && other_first <= last
    }

    /// The first address an interface may have.
    pub(crate) fn first(self) -> Ipv4Addr {
        (self.base + 1).into()
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not an IPv4 subnet such as 172.30.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        if prefix > 32 {
            return Err(bad());
        }
        let subnet = Self::of(address, prefix);
        if subnet.base != u32::from(address) {
            return Err(format!(
                "{text:?} has bits beyond its prefix: did you mean {subnet}"
            ));
        }
        Ok(subnet)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl TryFrom<String> for Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

/// Subnets to choose from, in this order: of the private ranges of RFC 1918 those that other tools
/// take last.
fn candidates() -> impl Iterator<Item = Subnet> {
    let large = [30, 31].into_iter().chain((18..30).rev());
    let large = large.map(|b| Subnet::of([172, b, 0, 0].into(), 16));
    let middle = (0..16)
        .rev()
        .map(|c| Subnet::of([192, 168, c * 16, 0].into(), 20));
    let small = (0..=255).map(|c| Subnet::of([10, 231, c, 0].into(), 24));
    large.chain(middle).chain(small)
}

/// The first candidate that overlaps none of `taken`.
pub(crate) fn choose(taken: &[Subnet]) -> Option<Subnet> {
    candidates().find(|c| !taken.iter().any(|t| t.overlaps(*c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_are_read_strictly() {
        assert_eq!(subnet("10.1.2.0/24").to_string(), "10.1.2.0/24");
        assert_eq!(subnet("0.0.0.0/0").bounds(), (0, u32::MAX));
        for bad in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.1/24",
            "fd00::/64",
            "x/8",
            "",
        ] {
            bad.parse::<Subnet>().unwrap_err();
        }
        assert!(
            "10.0.0.1/24"
                .parse::<Subnet>()
                .unwrap_err()
                .contains("10.0.0.0/24")
        );
    }

    #[test]
    fn overlap_is_symmetric_and_touching_is_none() {
        let (a, b, c) = (
            subnet("10.0.0.0/8"),
            subnet("10.9.0.0/16"),
            subnet("11.0.0.0/8"),
        );
        assert!(a.overlaps(b) && b.overlaps(a));
        assert!(!a.overlaps(c) && !c.overlaps(b));
        assert!(b.contains([10, 9, 1, 1].into()) && !b.contains([10, 8, 1, 1].into()));
    }

    #[test]
    fn what_is_taken_is_not_chosen() {
        assert_eq!(choose(&[]), Some(subnet("172.30.0.0/16")));
        let taken = [subnet("172.30.5.0/24"), subnet("172.31.0.0/16")];
        assert_eq!(choose(&taken), Some(subnet("172.29.0.0/16")));
        assert_eq!(
            choose(&[subnet("172.16.0.0/12")]),
            Some(subnet("192.168.240.0/20"))
        );
        assert_eq!(choose(&[subnet("0.0.0.0/0")]), None);
        assert_eq!(candidates().count(), 14 + 16 + 256);
    }
}
