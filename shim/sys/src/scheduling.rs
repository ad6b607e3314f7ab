//! How the kernel schedules this process: scheduler, I/O priority, processors, memory nodes, execution domain. All
//! survive exec.

use crate::error::{Error, Result};
use crate::raw::check;
use nix::errno::Errno;

/// What sched_setattr(2) takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For the ordinary policies, -20 to 19.
    pub nice: i32,
    /// For the real-time policies, 1 to 99.
    pub priority: u32,
    /// Deadline policy, nanoseconds.
    pub runtime: u64,
    /// Deadline policy, nanoseconds.
    pub deadline: u64,
    /// Deadline policy, nanoseconds.
    pub period: u64,
}

#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// Sets the scheduler of the calling thread.
///
/// # Errors
/// EPERM without CAP_SYS_NICE, EINVAL for values that do not fit the policy.
pub fn set_scheduler(wanted: Scheduler) -> Result<()> {
    let attr = SchedAttr {
        size: u32::try_from(size_of::<SchedAttr>()).unwrap_or(0),
        policy: wanted.policy,
        flags: wanted.flags,
        nice: wanted.nice,
        priority: wanted.priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
        ..SchedAttr::default()
    };
    // SAFETY: `attr` says its own size and lives through the call.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    check(ret, || "set scheduler".into()).map(|_| ())
}

/// Sets the I/O priority of the calling thread: class 1 (real time), 2 (best effort) or 3 (idle), level 0 to 7.
///
/// # Errors
/// EPERM without privilege for the class, EINVAL.
pub fn set_io_priority(class: u16, level: u16) -> Result<()> {
    let (of_process, value) = (1, libc::c_int::from(class) << 13 | libc::c_int::from(level));
    // SAFETY: plain integers.
    let ret = unsafe { libc::syscall(libc::SYS_ioprio_set, of_process, 0, value) };
    check(ret, || "set I/O priority".into()).map(|_| ())
}

/// Sets the execution domain (personality(2)).
///
/// # Errors
/// EINVAL.
pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: a plain integer.
    let ret = unsafe { libc::personality(domain.into()) };
    check(ret.into(), || "set personality".into()).map(|_| ())
}

/// Numbers of a list such as `0-3,7`, as a set of bits; `None` for anything else.
#[must_use]
pub fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= 8192 {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

fn bits(numbers: &[usize]) -> Vec<libc::c_ulong> {
    let width = libc::c_ulong::BITS as usize;
    let most = numbers.iter().max().map_or(0, |m| m / width);
    let mut words = vec![0; most + 1];
    for number in numbers {
        words[number / width] |= 1 << (number % width);
    }
    words
}

/// Keeps the calling thread on these processors.
///
/// # Errors
/// EINVAL when none of them is there.
pub fn set_affinity(processors: &[usize]) -> Result<()> {
    let words = bits(processors);
    // SAFETY: pointer and length in bytes describe `words`, which lives through the call.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            0,
            size_of_val(&words[..]),
            words.as_ptr(),
        )
    };
    check(ret, || "set processors".into()).map(|_| ())
}

/// Where the calling thread's memory comes from: `MPOL_*` with its flags, and nodes (none for the local policies).
///
/// # Errors
/// EINVAL for nodes that are not there, ENOSYS on a kernel without NUMA.
pub fn set_memory_policy(mode: u32, nodes: &[usize]) -> Result<()> {
    let words = bits(nodes);
    let (pointer, most) = if nodes.is_empty() {
        (std::ptr::null(), 0)
    } else {
        // The kernel reads one bit less than it is told.
        let all = words.len() * libc::c_ulong::BITS as usize;
        (words.as_ptr(), all + 1)
    };
    let mode =
        libc::c_int::try_from(mode).map_err(|_| Error::new("set memory policy", Errno::EINVAL))?;
    // SAFETY: null, or a bit field of at least `most - 1` bits that lives through the call.
    let ret = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, most) };
    check(ret, || "set memory policy".into()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_whole_or_not_at_all() {
        assert_eq!(parse_list("0-2,7").unwrap(), [0, 1, 2, 7]);
        for bad in ["", "a", "3-1", "1-", "-1", "0,,1", "9999"] {
            assert_eq!(parse_list(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn bits_go_into_their_words() {
        assert_eq!(bits(&[0, 3]), [9]);
        assert_eq!(bits(&[64]), [0, 1]);
    }

    #[test]
    fn a_thread_can_be_kept_on_one_processor() {
        std::thread::spawn(|| {
            set_affinity(&[0]).unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status
                .lines()
                .find(|l| l.starts_with("Cpus_allowed_list"))
                .unwrap();
            assert!(line.ends_with("\t0"), "{line}");
            assert_eq!(set_affinity(&[8191]).unwrap_err().errno(), Errno::EINVAL);
        })
        .join()
        .unwrap();
    }
}
