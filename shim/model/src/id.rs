//! Identifiers. The host makes them; 64 lower-case hexadecimal digits, as Docker and CRI users know them.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

macro_rules! hex_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id made of 32 random bytes.
            pub fn from_random(bytes: [u8; 32]) -> Self {
                Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }

            /// Takes an id that somebody else wrote down.
            ///
            /// # Errors
            /// `InvalidArgument` unless it is 64 lower-case hexadecimal digits.
            pub fn parse(text: &str) -> Result<Self> {
                let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if text.len() == 64 && text.bytes().all(hex) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Error::invalid(format!("{text:?} is not an id of 64 hexadecimal digits")))
                }
            }

            /// All 64 digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first 12 digits, as people are shown.
            pub fn short(&self) -> &str {
                &self.0[..12]
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

hex_id! {
    /// A container: a description, a writable layer and a history of runs.
    ContainerId,
    /// A sandbox: one pod's, or one run's of a stand-alone container.
    SandboxId,
    /// A network.
    NetworkId,
    /// One sandbox's place on one network.
    EndpointId,
    /// One exec in a container.
    ExecId,
    /// One change in progress.
    OperationId,
}

#[cfg(test)]
mod tests {
    use super::ContainerId;

    #[test]
    fn takes_only_what_it_makes() {
        let id = ContainerId::from_random([0xa5; 32]);
        assert_eq!(ContainerId::parse(id.as_str()), Ok(id.clone()));
        assert_eq!(id.short(), "a5a5a5a5a5a5");
        for bad in ["", "a5", &"A5".repeat(32), &"g".repeat(64), &"a".repeat(65)] {
            assert!(ContainerId::parse(bad).is_err(), "{bad}");
        }
    }
}
