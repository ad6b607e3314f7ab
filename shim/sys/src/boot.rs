//! Facts of this boot of the machine.

use crate::error::{Error, Result};

/// The random id of this boot, as text. State written under another one is void. A build with fault points takes the
/// one in `GANTRY_FAULT_BOOT_ID`, so that a test can show what a reboot does.
///
/// # Errors
/// When /proc is not mounted.
pub fn id() -> Result<String> {
    if let Some(id) = gantry_fault::instead("GANTRY_FAULT_BOOT_ID") {
        return Ok(id);
    }
    let path = "/proc/sys/kernel/random/boot_id";
    let text =
        std::fs::read_to_string(path).map_err(|e| Error::from_io(format!("read {path}"), &e))?;
    Ok(text.trim().to_owned())
}

/// When process `pid` was started, in clock ticks since boot: with the pid it names a process for good.
///
/// # Errors
/// When there is no such process.
pub fn start_time(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text =
        std::fs::read_to_string(&path).map_err(|e| Error::from_io(format!("read {path}"), &e))?;
    // The name in parentheses may hold anything; fields are counted after the last ')', from number 3.
    let rest = text.rsplit_once(')').map_or("", |(_, r)| r);
    let field = rest
        .split_whitespace()
        .nth(22 - 3)
        .and_then(|f| f.parse().ok());
    field.ok_or_else(|| Error::new(format!("parse {path}"), nix::errno::Errno::EINVAL))
}

#[cfg(test)]
mod tests {
    #[test]
    fn boot_id_is_stable_and_we_have_a_start_time() {
        assert_eq!(super::id().unwrap(), super::id().unwrap());
        assert!(super::start_time(std::process::id().cast_signed()).unwrap() > 0);
    }
}
