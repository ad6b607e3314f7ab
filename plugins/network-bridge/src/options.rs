//! Options of a network: those of Docker's bridge driver that mean something here.

use std::net::Ipv4Addr;

use gantry_sdk::{Error, Labels, Result};

/// Options as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Name of the bridge, if it is asked for.
    pub(crate) bridge: Option<String>,
    /// What leaves the host carries the host's address.
    pub(crate) masquerade: bool,
    /// MTU; 0 is the kernel's.
    pub(crate) mtu: u32,
    /// Where ports are published that name no address.
    pub(crate) host_ip: Option<Ipv4Addr>,
}

/// Reads them.
///
/// # Errors
/// `InvalidArgument` for unknown ones and wrong values, `Unimplemented` for what is not done.
pub(crate) fn read(options: &Labels) -> Result<Options> {
    let mut read = Options {
        bridge: None,
        masquerade: true,
        mtu: 0,
        host_ip: None,
    };
    for (key, value) in options {
        let wrong = |why: &str| Error::invalid(format!("network option {key}={value:?}: {why}"));
        match key.as_str() {
            "com.docker.network.bridge.name" => {
                let plain = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b':';
                if value.is_empty() || value.len() > 15 || !value.bytes().all(plain) {
                    return Err(wrong("not a link's name of at most 15 letters"));
                }
                read.bridge = Some(value.clone());
            }
            "com.docker.network.bridge.enable_ip_masquerade" => {
                read.masquerade = flag(value).ok_or_else(|| wrong("neither true nor false"))?;
            }
            "com.docker.network.bridge.enable_icc" => match flag(value) {
                Some(true) => {}
                Some(false) => {
                    let what = format!("network option {key}=false is not done");
                    return Err(Error::unimplemented(what));
                }
                None => return Err(wrong("neither true nor false")),
            },
            "com.docker.network.bridge.host_binding_ipv4" => {
                let ip: Ipv4Addr = value.parse().map_err(|_| wrong("not an IPv4 address"))?;
                read.host_ip = Some(ip).filter(|ip| !ip.is_unspecified());
            }
            "com.docker.network.driver.mtu" => {
                let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
                read.mtu = mtu.ok_or_else(|| wrong("not a number from 68 to 65535"))?;
            }
            "com.docker.network.bridge.default_bridge" => {}
            _ => return Err(Error::invalid(format!("unknown network option {key}"))),
        }
    }
    Ok(read)
}

fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" => Some(true),
        "false" | "0" | "f" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Result<Options> {
        read(&Labels::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn options_are_read_and_strange_ones_refused() {
        assert_eq!(
            one("com.docker.network.driver.mtu", "1400").unwrap().mtu,
            1400
        );
        let ip = one("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0")
            .unwrap()
            .host_ip;
        assert_eq!(ip, None);
        assert!(
            !one("com.docker.network.bridge.enable_ip_masquerade", "false")
                .unwrap()
                .masquerade
        );
        for (key, value) in [
            ("colour", "red"),
            ("com.docker.network.driver.mtu", "1"),
            ("com.docker.network.bridge.name", "a/b"),
            ("com.docker.network.bridge.name", "longer-than-15-b"),
            ("com.docker.network.bridge.enable_icc", "false"),
        ] {
            one(key, value).unwrap_err();
        }
    }
}
