//! Network settings that have no netlink message. The caller's own network namespace only:
//! `/proc/sys/net` always shows the reader's.

use std::fs;
use std::path::Path;

use super::{Error, Result};

fn write(path: &str, value: &str) -> Result<()> {
    fs::write(path, value).map_err(|source| Error::Sysctl {
        path: path.to_owned(),
        source,
    })
}

/// Writes `/proc/sys/net/<family>/conf/<link>/<key>`; a family the kernel lacks is no error (there
/// is nothing to switch off then).
///
/// # Errors
/// The file could not be written.
pub fn set_link_sysctl(family: &str, link: &str, key: &str, value: &str) -> Result<()> {
    if !Path::new("/proc/sys/net").join(family).is_dir() {
        return Ok(());
    }
    write(&format!("/proc/sys/net/{family}/conf/{link}/{key}"), value)
}

/// True if this host forwards IPv4 between its links.
///
/// # Errors
/// The file could not be read.
pub fn ip_forward() -> Result<bool> {
    let path = "/proc/sys/net/ipv4/ip_forward";
    let text = fs::read_to_string(path).map_err(|source| Error::Sysctl {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim() != "0")
}

/// Switches forwarding of IPv4 on for the whole host.
///
/// # Errors
/// The file could not be written.
pub fn set_ip_forward() -> Result<()> {
    write("/proc/sys/net/ipv4/ip_forward", "1")
}
