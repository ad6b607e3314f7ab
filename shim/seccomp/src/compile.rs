//! From a profile to a program: architecture, then a search tree per architecture.

use crate::program::{ARCH, Insn, JEQ, JGE, JUMP, LOAD, NUMBER, RETURN, len, search};
use crate::rules::{Decisions, Error, Result};
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};

/// The longest program the kernel takes (BPF_MAXINSNS).
const MAX: usize = 4096;
/// SECCOMP_RET_KILL_PROCESS: a call in an architecture the profile does not list.
const KILL_PROCESS: u32 = 0x8000_0000;
/// SECCOMP_RET_ERRNO | ENOSYS.
const NO_SUCH_CALL: u32 = 0x0005_0000 | 38;
/// Calls of the x32 ABI carry this bit and x86_64's architecture.
const X32_BIT: u32 = 0x4000_0000;

/// A filter ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Instructions as (code, jump if true, jump if false, constant).
    pub instructions: Vec<(u16, u8, u8, u32)>,
    /// Flags of seccomp(2).
    pub flags: u32,
}

/// Compiles a profile. Names of calls the architecture does not have are left out, as every runtime does.
///
/// # Errors
/// What is not supported, and numbers out of range; see [`Error`].
pub fn compile(profile: &LinuxSeccomp) -> Result<Program> {
    let mut code: Vec<Insn> = vec![(LOAD, 0, 0, ARCH)];
    for arch in listed(profile) {
        let mut block = vec![(LOAD, 0, 0, NUMBER)];
        if arch == Arch::ScmpArchX86_64 {
            block.extend([(JGE, 0, 1, X32_BIT), (RETURN, 0, 0, NO_SUCH_CALL)]);
        }
        block.extend(search(&Decisions::new(profile, arch)?.runs));
        code.extend([(JEQ, 1, 0, audit_arch(arch)), (JUMP, 0, 0, len(&block))]);
        code.extend(block);
    }
    code.push((RETURN, 0, 0, KILL_PROCESS));
    if code.len() > MAX {
        return Err(Error::TooLong(code.len()));
    }
    Ok(Program {
        instructions: code,
        flags: flags(profile),
    })
}

/// Flags of a profile that are known.
pub const FLAGS: &str = "SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW SECCOMP_FILTER_FLAG_TSYNC \
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";

/// Architectures a filter of this machine can tell apart, the native one first.
pub fn architectures() -> impl Iterator<Item = Arch> {
    let list: &[Arch] = if cfg!(target_arch = "aarch64") {
        &[Arch::ScmpArchAarch64]
    } else {
        &[Arch::ScmpArchX86_64, Arch::ScmpArchX86]
    };
    list.iter().copied()
}

/// What is listed and has a table here; the native one always. x32 is answered beside x86_64, others are refused by
/// the last instruction: a profile may well list more than this machine can run.
fn listed(profile: &LinuxSeccomp) -> Vec<Arch> {
    let wanted = |arch: &Arch| {
        let mut list = profile.architectures().iter().flatten();
        list.any(|a| a == arch)
    };
    let native = architectures().take(1);
    native
        .chain(architectures().skip(1).filter(wanted))
        .collect()
}

/// AUDIT_ARCH_* (linux/audit.h), which runtime-spec's numbers are.
fn audit_arch(arch: Arch) -> u32 {
    arch as u32
}

fn flags(profile: &LinuxSeccomp) -> u32 {
    let notify = LinuxSeccompAction::ScmpActNotify;
    let mut rules = profile.syscalls().iter().flatten();
    let asks = rules.any(|r| r.action() == notify);
    let bit = |flag: &LinuxSeccompFilterFlag| match flag {
        // One thread only at that moment.
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
        // The kernel takes it with a listener only (5.19).
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
            if asks {
                32
            } else {
                0
            }
        }
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => 2,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => 4,
    };
    profile
        .flags()
        .iter()
        .flatten()
        .map(bit)
        .fold(0, |all, one| all | one)
}
