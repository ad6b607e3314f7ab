//! What a profile says about each call of one architecture, before any code is made.
//!
//! Meaning, as libseccomp and runc have it: the first rule without conditions decides alone; otherwise conditional
//! rules in order, then the default. Conditions of one rule must all hold, except that several on one argument make
//! several rules. A rule whose action is the default one says nothing.

use crate::table::numbers;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};
use std::collections::HashMap;

/// A profile that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no table of its call numbers.
    #[error("seccomp architecture {0} is not supported")]
    Architecture(String),
    /// An argument index beyond the sixth.
    #[error("seccomp argument index {0} is beyond 5")]
    Argument(usize),
    /// An errno beyond what the kernel can return.
    #[error("seccomp errno {0} is beyond 4095")]
    Errno(u32),
    /// The kernel takes 4096 instructions at most.
    #[error("seccomp filter of {0} instructions is too long")]
    TooLong(usize),
}

/// Result of compiling.
pub type Result<T> = std::result::Result<T, Error>;

/// One comparison of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) index: usize,
    pub(crate) op: LinuxSeccompOperator,
    /// The value; of a masked comparison the mask.
    pub(crate) value: u64,
    /// Of a masked comparison what must be left.
    pub(crate) masked: u64,
}

impl Condition {
    fn new(arg: &LinuxSeccompArg) -> Result<Self> {
        if arg.index() > 5 {
            return Err(Error::Argument(arg.index()));
        }
        Ok(Self {
            index: arg.index(),
            op: arg.op(),
            value: arg.value(),
            masked: arg.value_two().unwrap_or(0),
        })
    }
}

/// Conditions that must all hold, and the kernel's return value then; in order.
pub(crate) type Conditional = Vec<(Vec<Condition>, u32)>;

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Conditional rules.
    pub(crate) rules: Conditional,
    /// The return value when none does.
    pub(crate) otherwise: u32,
}

/// Decisions of one architecture as runs of call numbers: each begins at its key and ends before the next one.
#[derive(Debug, Clone)]
pub(crate) struct Decisions {
    pub(crate) runs: Vec<(u32, Decision)>,
}

/// What the rules read so far say about one call.
#[derive(Debug, Clone, Default)]
struct Call {
    rules: Conditional,
    always: Option<u32>,
}

/// SECCOMP_RET_ERRNO | ENOSYS.
const NO_SUCH_CALL: u32 = 0x0005_0000 | 38;

impl Decisions {
    /// Of `arch` under `profile`.
    pub(crate) fn new(profile: &LinuxSeccomp, arch: Arch) -> Result<Self> {
        let table = numbers(arch).ok_or_else(|| Error::Architecture(arch.to_string()))?;
        let last = table.iter().map(|(_, n)| *n as usize).max().unwrap_or(0);
        let by_name: HashMap<&str, u32> = table.into_iter().collect();
        let default = action(profile.default_action(), profile.default_errno_ret())?;
        let mut calls: Vec<Option<Call>> = vec![None; last + 1];
        for rule in profile.syscalls().iter().flatten() {
            let value = action(rule.action(), rule.errno_ret())?;
            let sets = condition_sets(rule)?;
            for number in rule.names().iter().filter_map(|n| by_name.get(n.as_str())) {
                let call = calls[*number as usize].get_or_insert_default();
                if value == default || call.always.is_some() {
                    continue;
                }
                match &sets[..] {
                    [] => call.always = Some(value),
                    sets => call.rules.extend(sets.iter().map(|s| (s.clone(), value))),
                }
            }
        }
        let last = calls.iter().rposition(Option::is_some);
        let last = last.and_then(|l| u32::try_from(l).ok());
        let numbered = (0..)
            .zip(calls)
            .filter_map(|(number, call)| Some((number, call?)));
        let decided = numbered.map(|(number, call)| {
            let decision = match call.always {
                Some(value) => Decision {
                    rules: Vec::new(),
                    otherwise: value,
                },
                None => Decision {
                    rules: call.rules,
                    otherwise: default,
                },
            };
            (number, decision)
        });
        Ok(Self {
            runs: runs(decided, default, last),
        })
    }
}

/// Joins neighbours with one decision. Calls newer than any the profile names answer ENOSYS under a profile that
/// denies by default, so that programs fall back to what it does know.
fn runs(
    decided: impl Iterator<Item = (u32, Decision)>,
    default: u32,
    last: Option<u32>,
) -> Vec<(u32, Decision)> {
    let plain = |value| Decision {
        rules: Vec::new(),
        otherwise: value,
    };
    let mut runs: Vec<(u32, Decision)> = vec![(0, plain(default))];
    let mut push = |at: u32, decision: Decision| {
        if runs.last().is_some_and(|(start, _)| *start == at) {
            runs.pop();
        }
        if runs.last().is_none_or(|(_, d)| *d != decision) {
            runs.push((at, decision));
        }
    };
    for (number, decision) in decided {
        push(number, decision);
        push(number + 1, plain(default));
    }
    let denies = default & 0xffff_0000 == 0x0005_0000;
    if let Some(last) = last.filter(|_| denies) {
        push(last + 1, plain(NO_SUCH_CALL));
    }
    runs
}

/// The conditions of one rule: none, one set that must all hold, or one set per condition.
fn condition_sets(rule: &LinuxSyscall) -> Result<Vec<Vec<Condition>>> {
    let all: Vec<Condition> = rule
        .args()
        .iter()
        .flatten()
        .map(Condition::new)
        .collect::<Result<_>>()?;
    let mut indexes: Vec<usize> = all.iter().map(|c| c.index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    Ok(if all.is_empty() {
        Vec::new()
    } else if indexes.len() == all.len() {
        vec![all]
    } else {
        all.into_iter().map(|c| vec![c]).collect()
    })
}

/// The value a filter returns to the kernel for an action (linux/seccomp.h).
pub(crate) fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32> {
    use LinuxSeccompAction as A;
    if let Some(errno) = errno.filter(|e| *e > 4095 && action == A::ScmpActErrno) {
        return Err(Error::Errno(errno));
    }
    Ok(match action {
        A::ScmpActKill | A::ScmpActKillThread => 0,
        A::ScmpActKillProcess => 0x8000_0000,
        A::ScmpActTrap => 0x0003_0000,
        A::ScmpActErrno => 0x0005_0000 | errno.unwrap_or(1),
        A::ScmpActTrace => 0x7ff0_0000 | (errno.unwrap_or(1) & 0xffff),
        A::ScmpActLog => 0x7ffc_0000,
        A::ScmpActAllow => 0x7fff_0000,
        A::ScmpActNotify => 0x7fc0_0000,
    })
}
