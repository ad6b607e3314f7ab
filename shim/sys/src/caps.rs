//! Capabilities of the calling thread, as 64-bit sets (capabilities(7)).

use crate::error::{Error, Result};
use crate::raw::check;
use nix::errno::Errno;

/// A set of capabilities: bit n is capability number n.
pub type Set = u64;

/// The three sets capget(2) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// In force.
    pub effective: Set,
    /// May be put in force.
    pub permitted: Set,
    /// Kept over exec where the file says so.
    pub inheritable: Set,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// Capabilities by number, without the `CAP_` prefix (linux/capability.h; the last came with Linux 5.9).
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The number of a name, with or without `CAP_`, in either case.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES
        .iter()
        .position(|n| *n == bare)
        .and_then(|n| u32::try_from(n).ok())
}

/// What the calling thread holds.
///
/// # Errors
/// Never on a kernel we run on.
pub fn get() -> Result<Caps> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 fills two data structs; both live through the call.
    let ret = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    check(ret, || "read capabilities".into())?;
    let join = |f: fn(&Data) -> u32| u64::from(f(&data[0])) | u64::from(f(&data[1])) << 32;
    Ok(Caps {
        effective: join(|d| d.effective),
        permitted: join(|d| d.permitted),
        inheritable: join(|d| d.inheritable),
    })
}

/// Sets the three sets of the calling thread.
///
/// # Errors
/// EPERM when more is asked for than is permitted.
pub fn set(caps: Caps) -> Result<()> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| Data {
        effective: (caps.effective >> shift) as u32,
        permitted: (caps.permitted >> shift) as u32,
        inheritable: (caps.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads two data structs; both live through the call.
    let ret = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    check(ret, || "set capabilities".into()).map(|_| ())
}

/// What the bounding set holds: asked one by one up to the kernel's last.
#[must_use]
pub fn bounding() -> Set {
    (0..64_u32)
        .filter(|n| in_bounding(*n))
        .fold(0, |set, n| set | 1 << n)
}

fn in_bounding(number: u32) -> bool {
    // SAFETY: plain integers; EINVAL beyond the last capability.
    unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number)) == 1 }
}

/// Drops everything but `keep` from the bounding set, for good.
///
/// # Errors
/// EPERM without CAP_SETPCAP.
pub fn limit_bounding(keep: Set) -> Result<()> {
    for number in 0..64_u32 {
        if keep & (1 << number) != 0 || !in_bounding(number) {
            continue;
        }
        // SAFETY: plain integers.
        let ret = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number)) };
        check(ret.into(), || {
            format!("drop capability {number} from the bounding set")
        })?;
    }
    Ok(())
}

/// Makes the ambient set exactly `set`; each must be permitted and inheritable.
///
/// # Errors
/// EPERM when one is not.
pub fn set_ambient(set: Set) -> Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: plain integers.
    let ret = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            zero,
            zero,
            zero,
        )
    };
    check(ret.into(), || "clear ambient capabilities".into())?;
    for number in (0..64_u32).filter(|n| set & (1 << n) != 0) {
        let n = libc::c_ulong::from(number);
        // SAFETY: plain integers.
        let ret = unsafe {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE,
                n,
                zero,
                zero,
            )
        };
        check(ret.into(), || format!("raise ambient capability {number}"))?;
    }
    Ok(())
}

/// The set of some names; unknown ones are EINVAL.
///
/// # Errors
/// EINVAL naming the first unknown one.
pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Set> {
    names.into_iter().try_fold(0, |set, name| {
        number(name)
            .map(|n| set | 1 << n)
            .ok_or_else(|| Error::new(format!("find capability {name:?}"), Errno::EINVAL))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers() {
        assert_eq!(
            (
                number("CAP_CHOWN"),
                number("sys_admin"),
                number("BPF"),
                number("nope")
            ),
            (Some(0), Some(21), Some(39), None)
        );
        assert_eq!(parse(["KILL", "CAP_CHOWN"]).unwrap(), 1 << 5 | 1);
        assert!(parse(["X"]).is_err());
    }

    #[test]
    fn own_sets_can_be_read_and_are_bounded() {
        let caps = get().unwrap();
        assert_eq!(caps.effective & !caps.permitted, 0);
        set(caps).unwrap();
        let _ = bounding();
    }
}
