//! User namespaces: made with given maps, held by a descriptor. Also how maps are written for a process that was
//! cloned into one.

use crate::error::{Error, Result};
use crate::namespace::{self, Forked};
use crate::{fdpass, process};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;
use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};

/// One range of ids: `size` ids from `inside` on are the host's from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub size: u32,
}

/// The id outside that `inside` stands for.
#[must_use]
pub fn map(ranges: &[Range], inside: u32) -> Option<u32> {
    ranges
        .iter()
        .find(|r| inside >= r.inside && inside - r.inside < r.size)
        .and_then(|r| r.outside.checked_add(inside - r.inside))
}

/// What is wrong with a map, in words; the kernel says EINVAL to all of it.
#[must_use]
pub fn fault(ranges: &[Range]) -> Option<String> {
    if ranges.is_empty() || ranges.len() > 340 {
        return Some(format!("{} ranges (1 to 340 are possible)", ranges.len()));
    }
    let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
    for (i, r) in ranges.iter().enumerate() {
        let last = u64::from(u32::MAX);
        if r.size == 0 || end(r.inside, r.size) > last || end(r.outside, r.size) > last {
            return Some(format!("range {}:{}:{}", r.inside, r.outside, r.size));
        }
        let meets = |a: u32, an: u32, b: u32, bn: u32| {
            u64::from(a) < end(b, bn) && u64::from(b) < end(a, an)
        };
        let twice = ranges[..i].iter().any(|o| {
            meets(o.inside, o.size, r.inside, r.size) || meets(o.outside, o.size, r.outside, r.size)
        });
        if twice {
            return Some(format!(
                "range {}:{}:{} overlaps another",
                r.inside, r.outside, r.size
            ));
        }
    }
    None
}

/// Writes the maps of a process cloned into a fresh user namespace, whose folder of procfs is `folder`.
///
/// # Errors
/// EPERM when they are written already or without privilege over the ids, EINVAL for ranges that overlap.
pub fn write_maps(folder: impl AsFd, users: &[Range], groups: &[Range]) -> Result<()> {
    for (name, ranges) in [("uid_map", users), ("gid_map", groups)] {
        let text = ranges.iter().fold(String::new(), |mut text, r| {
            let _ = writeln!(text, "{} {} {}", r.inside, r.outside, r.size);
            text
        });
        let failed = |e| Error::new(format!("write {name} of user namespace"), e);
        let file = openat(
            &folder,
            name,
            OFlag::O_WRONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        // The kernel takes a map in one write only.
        let wrote = nix::unistd::write(file.map_err(failed)?, text.as_bytes()).map_err(failed)?;
        if wrote != text.len() {
            return Err(failed(Errno::EIO));
        }
    }
    Ok(())
}

/// The calling process's folder of procfs, to be handed to whoever writes its maps: a name would not do, as the two
/// need not count pids alike.
///
/// # Errors
/// When /proc is not there.
pub fn own_folder() -> Result<OwnedFd> {
    let folder = std::fs::File::open("/proc/self");
    folder
        .map(OwnedFd::from)
        .map_err(|e| Error::from_io("open /proc/self", &e))
}

/// Makes a user namespace with these maps, held by nothing but the descriptor. The **caller must have one thread only**
/// ([`namespace::fork`]).
///
/// # Errors
/// As [`write_maps`], and the fork's.
pub fn make(users: &[Range], groups: &[Range]) -> Result<OwnedFd> {
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    let (ours, theirs) = pair.map_err(|e| Error::new("make socket pair", e))?;
    match namespace::fork(namespace::USER, None)? {
        Forked::Child => {
            drop(ours);
            if let Ok(folder) = own_folder() {
                let _ = fdpass::send(&theirs, b"f", &[folder.as_fd()]);
            }
            // Until the other end is closed.
            let _ = fdpass::recv(&theirs, &mut [0; 1]);
            process::exit_now(0)
        }
        Forked::Parent(_, pidfd) => {
            drop(theirs);
            let made = hold(&ours, users, groups);
            drop(ours);
            let _ = process::wait(&pidfd);
            made
        }
    }
}

fn hold(socket: &OwnedFd, users: &[Range], groups: &[Range]) -> Result<OwnedFd> {
    let folder = fdpass::recv(socket, &mut [0; 1])?.fds.pop();
    let folder = folder.ok_or_else(|| Error::new("make user namespace", Errno::ECHILD))?;
    write_maps(&folder, users, groups)?;
    openat(
        &folder,
        "ns/user",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| Error::new("open user namespace", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn range(inside: u32, outside: u32, size: u32) -> Range {
        Range {
            inside,
            outside,
            size,
        }
    }

    #[test]
    fn ids_are_found_in_their_range() {
        let all = [range(0, 100_000, 10), range(10, 5, 1)];
        assert_eq!(map(&all, 0), Some(100_000));
        assert_eq!((map(&all, 9), map(&all, 10)), (Some(100_009), Some(5)));
        assert_eq!(map(&all, 11), None);
    }

    #[test]
    fn impossible_maps_are_named() {
        assert!(fault(&[range(0, 100_000, 65_536)]).is_none());
        assert!(fault(&[]).is_some());
        for bad in [
            vec![range(0, 1, 0)],
            vec![range(0, u32::MAX, 2)],
            vec![range(0, 1, 10), range(9, 100, 1)],
            vec![range(0, 1, 10), range(20, 10, 1)],
        ] {
            assert!(fault(&bad).is_some(), "{bad:?}");
        }
    }
}
