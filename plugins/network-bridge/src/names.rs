//! Names and marks of everything on the host.

use gantry_sdk::InstanceInfo;
use gantry_sys::nft::{Family, Table};

/// The instance whose things these are.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    instance: String,
    id: String,
    table: String,
}

/// FNV-1a: short, the same for ever, and nobody gains anything by a collision (the mark is compared).
fn hash(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// A number as letters and digits, as many as asked for.
fn letters(mut number: u64, count: usize) -> String {
    let digit = || {
        let digit = char::from_digit((number % 36) as u32, 36).expect("a remainder of 36");
        number /= 36;
        digit
    };
    std::iter::repeat_with(digit).take(count).collect()
}

impl Names {
    pub(crate) fn new(instance: &InstanceInfo) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let table: String = instance.name.chars().map(plain).collect();
        Self {
            instance: instance.name.clone(),
            id: instance.id.clone(),
            table: format!("gantry_{table}"),
        }
    }

    fn short(&self, length: usize) -> String {
        let plain = self.instance.chars().filter(char::is_ascii_alphanumeric);
        plain.take(length).collect()
    }

    /// Name of a network's bridge: at most 15 bytes (`IFNAMSIZ`).
    pub(crate) fn bridge(&self, network: &str) -> String {
        let hash = hash(&[&self.instance, &self.id, network]) as u32;
        format!("{}-{hash:08x}", self.short(6))
    }

    /// How the names of all our veths begin; those of no other instance do.
    pub(crate) fn link_prefix(&self) -> String {
        format!("g{}", letters(hash(&[&self.instance, &self.id]), 5))
    }

    /// Name of the host's end of an endpoint's veth.
    pub(crate) fn link(&self, endpoint: &str) -> String {
        let hash = hash(&[&self.instance, &self.id, endpoint]);
        format!("{}{}", self.link_prefix(), letters(hash, 9))
    }

    /// Our table of IPv4 rules.
    pub(crate) fn table(&self) -> Table<'_> {
        Table {
            family: Family::Ipv4,
            name: &self.table,
        }
    }

    /// Our table of rules for frames on bridges.
    pub(crate) fn frame_table(&self) -> Table<'_> {
        Table {
            family: Family::Bridge,
            name: &self.table,
        }
    }

    fn prefix(&self) -> String {
        format!("gantry {} ", self.id)
    }

    /// Mark of what belongs to the instance as a whole.
    pub(crate) fn own_mark(&self) -> String {
        format!("gantry {}", self.id)
    }

    /// Is this the mark of something that belongs to the instance as a whole, with a version after
    /// it?
    pub(crate) fn is_own(&self, mark: &str) -> bool {
        mark.starts_with(&self.prefix())
    }

    /// Mark of what belongs to a network.
    pub(crate) fn network_mark(&self, network: &str) -> String {
        format!("{}network {network}", self.prefix())
    }

    /// Mark of what belongs to an endpoint.
    pub(crate) fn endpoint_mark(&self, endpoint: &str) -> String {
        format!("{}endpoint {endpoint}", self.prefix())
    }

    /// Whose mark this is.
    pub(crate) fn read_mark(&self, mark: &str) -> Owner {
        let Some(rest) = mark.strip_prefix(&self.prefix()) else {
            return Owner::Stranger;
        };
        match rest.split_once(' ') {
            Some(("network", id)) => Owner::Network(id.to_owned()),
            Some(("endpoint", id)) => Owner::Endpoint(id.to_owned()),
            _ => Owner::Stranger,
        }
    }
}

/// To whom a marked thing belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// One of our networks.
    Network(String),
    /// One of our endpoints.
    Endpoint(String),
    /// Not ours: to be left alone.
    Stranger,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str, id: &str) -> Names {
        Names::new(&InstanceInfo {
            name: name.to_owned(),
            id: id.to_owned(),
        })
    }

    #[test]
    fn names_fit_and_differ_by_instance() {
        let (one, two) = (
            names("a-very-long-instance", "1"),
            names("a-very-long-instance", "2"),
        );
        for name in [one.bridge("n"), one.link("e"), names("x", "").bridge("n")] {
            assert!(name.len() <= 15, "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                "{name}"
            );
        }
        assert_ne!(one.bridge("n"), two.bridge("n"));
        assert_ne!(one.link("e"), one.link("f"));
        assert!(one.link("e").starts_with(&one.link_prefix()));
        assert_ne!(one.link_prefix(), two.link_prefix());
        assert_eq!(one.table().name, "gantry_a_very_long_instance");
    }

    #[test]
    fn only_own_marks_are_read() {
        let (one, two) = (names("x", "1"), names("x", "12"));
        assert_eq!(
            one.read_mark(&one.network_mark("n")),
            Owner::Network("n".into())
        );
        assert_eq!(
            one.read_mark(&one.endpoint_mark("e")),
            Owner::Endpoint("e".into())
        );
        assert_eq!(one.read_mark(&two.endpoint_mark("e")), Owner::Stranger);
        assert_eq!(two.read_mark(&one.endpoint_mark("e")), Owner::Stranger);
        assert_eq!(one.read_mark("uplink"), Owner::Stranger);
    }
}
