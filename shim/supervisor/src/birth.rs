//! What a supervisor is born with: a locked descriptor, the birth pipe, a listening socket, and its own folder.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use gantry_sys::spawn::inherited;
use nix::sys::stat::Mode;

/// The inheritance.
#[derive(Debug)]
pub(crate) struct Birth {
    /// The sandbox.
    pub(crate) id: String,
    /// `<run>/shims/<id>`.
    pub(crate) folder: PathBuf,
    /// Held as long as we live, never read.
    #[allow(dead_code)] // its drop is its use
    pub(crate) lock: OwnedFd,
    /// Closes when our maker dies; obeyed until "committed" comes.
    pub(crate) pipe: OwnedFd,
    /// Where gantryd connects.
    pub(crate) listener: UnixListener,
}

/// Reads the arguments and takes what they name.
///
/// # Errors
/// In words: a missing argument, a descriptor that is not there.
pub(crate) fn born(args: &[String]) -> Result<Birth, String> {
    // Folders on the way to a log or a cgroup are made with the modes they are asked for.
    nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
    nix::unistd::chdir("/").map_err(|e| format!("change folder to /: {e}"))?;
    let value = |name: &str| {
        let place = args.iter().position(|a| a == name);
        place
            .and_then(|p| args.get(p + 1))
            .cloned()
            .ok_or_else(|| format!("argument {name} is missing"))
    };
    let descriptor = |name: &str| {
        let text = value(name)?;
        let number = text
            .parse()
            .map_err(|_| format!("{name} {text}: not a number"))?;
        inherited(number).map_err(|e| format!("{name}: {e}"))
    };
    let listener = UnixListener::from(descriptor("--listen-fd")?);
    listener
        .set_nonblocking(true)
        .map_err(|e| format!("set listening socket non-blocking: {e}"))?;
    Ok(Birth {
        id: value("--id")?,
        folder: value("--dir")?.into(),
        lock: descriptor("--lock-fd")?,
        pipe: descriptor("--birth-fd")?,
        listener,
    })
}
