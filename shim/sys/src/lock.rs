//! Advisory whole-file locks (flock(2)). A lock belongs to the open file description: a forked child keeps it
//! until it closes the descriptor, which is why children of a supervisor close it first.

use crate::error::{Error, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd};

/// Tries to take the exclusive lock; `false` when someone else holds one.
///
/// # Errors
/// Whatever flock(2) answers except EWOULDBLOCK.
pub fn try_exclusive(file: impl AsFd) -> Result<bool> {
    flock(file, libc::LOCK_EX | libc::LOCK_NB)
}

/// Tries to take a shared lock; `false` when someone holds the exclusive one.
///
/// # Errors
/// As [`try_exclusive`].
pub fn try_shared(file: impl AsFd) -> Result<bool> {
    flock(file, libc::LOCK_SH | libc::LOCK_NB)
}

/// Gives a lock back before the descriptor is closed.
///
/// # Errors
/// As [`try_exclusive`].
pub fn unlock(file: impl AsFd) -> Result<()> {
    flock(file, libc::LOCK_UN).map(|_| ())
}

/// Whether somebody holds the exclusive lock of this file, **without taking it**: /proc/locks is asked, since even a
/// shared probe would make the holder-to-be fail for a moment.
///
/// # Errors
/// When the file cannot be examined or /proc/locks cannot be read.
pub fn is_held(file: impl AsFd) -> Result<bool> {
    let stat = nix::sys::stat::fstat(file).map_err(|e| Error::new("stat lock file", e))?;
    let locks = std::fs::read_to_string("/proc/locks")
        .map_err(|e| Error::from_io("read /proc/locks", &e))?;
    let (major, minor) = (
        nix::sys::stat::major(stat.st_dev),
        nix::sys::stat::minor(stat.st_dev),
    );
    let key = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    Ok(locks.lines().any(|l| {
        let mut words = l.split_whitespace().skip(1);
        // A line "1: -> FLOCK" is a waiter, not a holder: its first word is the arrow.
        words.next() == Some("FLOCK")
            && words.nth(1) == Some("WRITE")
            && words.nth(1) == Some(key.as_str())
    }))
}

fn flock(file: impl AsFd, how: i32) -> Result<bool> {
    loop {
        // SAFETY: plain integers; the descriptor is borrowed for the call.
        if unsafe { libc::flock(file.as_fd().as_raw_fd(), how) } == 0 {
            return Ok(true);
        }
        match Errno::last() {
            Errno::EWOULDBLOCK => return Ok(false),
            Errno::EINTR => {}
            e => return Err(Error::new("lock file", e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_description_is_refused_until_the_first_lets_go() {
        let path = std::env::temp_dir().join(format!("gantry-lock-{}", std::process::id()));
        let a = std::fs::File::create(&path).unwrap();
        let b = std::fs::File::open(&path).unwrap();
        assert!(!is_held(&b).unwrap());
        assert!(try_exclusive(&a).unwrap());
        assert!(is_held(&b).unwrap());
        assert!(!try_exclusive(&b).unwrap());
        drop(a);
        // A child that another test forks has the description too until it executes something or ends.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_held(&b).unwrap() {
            assert!(std::time::Instant::now() < end, "it is held still");
            std::thread::yield_now();
        }
        assert!(try_exclusive(&b).unwrap());
        std::fs::remove_file(path).unwrap();
    }
}
