//! The v2 form of device rules: a BPF program of type CGROUP_DEVICE (Linux 4.15), attached to the directory.
//! The context holds access and kind in one word, then major and minor.

use super::device::{DeviceKind, DeviceRule, effective};
use crate::error::{Error, Result};
use crate::raw::check_fd;
use nix::errno::Errno;
use std::os::fd::AsRawFd;
use std::path::Path;

/// One instruction of eBPF (linux/bpf.h `struct bpf_insn`): code, registers, offset, immediate.
type Insn = u64;

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    u64::from(code)
        | u64::from(dst | (src << 4)) << 8
        | u64::from(off.cast_unsigned()) << 16
        | u64::from(imm.cast_unsigned()) << 32
}

const LDX_W: u8 = 0x61;
const MOV32_X: u8 = 0xbc;
const AND32_K: u8 = 0x54;
const RSH32_K: u8 = 0x74;
const MOV_K: u8 = 0xb7;
const EXIT: u8 = 0x95;
/// 64-bit compare: `MOV32`/`AND32` have cleared the upper half, so equality is of the lower.
const JNE_K: u8 = 0x55;
const JNE_X: u8 = 0x5d;

/// r2 = kind, r3 = access asked for, r4 = major, r5 = minor; rules from the last to the first, since the last wins.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<Insn> {
    let mut code = vec![
        insn(LDX_W, 2, 1, 0, 0),
        insn(MOV32_X, 3, 2, 0, 0),
        insn(AND32_K, 2, 0, 0, 0xffff),
        insn(RSH32_K, 3, 0, 0, 16),
        insn(LDX_W, 4, 1, 4, 0),
        insn(LDX_W, 5, 1, 8, 0),
    ];
    let rules = effective(rules);
    for rule in rules.iter().rev() {
        let block = rule_code(rule);
        code.extend(block);
    }
    // No rule matched. After a rule for everything this would be unreachable, which the verifier refuses.
    if rules.first().is_none_or(|r| *r != DeviceRule::all(r.allow)) {
        code.extend([insn(MOV_K, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    }
    code
}

fn rule_code(rule: &DeviceRule) -> Vec<Insn> {
    let mut tests: Vec<Box<dyn Fn(i16) -> Insn>> = Vec::new();
    let mut head: Vec<Insn> = Vec::new();
    let kind = match rule.kind {
        DeviceKind::All => None,
        DeviceKind::Block => Some(1),
        DeviceKind::Char => Some(2),
    };
    if let Some(kind) = kind {
        tests.push(Box::new(move |off| insn(JNE_K, 2, 0, off, kind)));
    }
    // Bits of linux/bpf.h: mknod 1, read 2, write 4. An allowing rule must cover all that is asked for.
    let mask = i32::from(rule.mknod) | i32::from(rule.read) << 1 | i32::from(rule.write) << 2;
    if mask != 7 {
        head.extend([insn(MOV32_X, 6, 3, 0, 0), insn(AND32_K, 6, 0, 0, mask)]);
        tests.push(Box::new(|off| insn(JNE_X, 6, 3, off, 0)));
    }
    if let Some(major) = rule.major {
        tests.push(Box::new(move |off| {
            insn(JNE_K, 4, 0, off, major.cast_signed())
        }));
    }
    if let Some(minor) = rule.minor {
        tests.push(Box::new(move |off| {
            insn(JNE_K, 5, 0, off, minor.cast_signed())
        }));
    }
    let count = tests.len();
    let mut code = head;
    for (i, test) in tests.iter().enumerate() {
        // Past the remaining tests and the two instructions of the verdict.
        code.push(test(
            i16::try_from(count - i - 1 + 2).expect("four tests at most"),
        ));
    }
    code.extend([
        insn(MOV_K, 0, 0, 0, i32::from(rule.allow)),
        insn(EXIT, 0, 0, 0, 0),
    ]);
    code
}

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;

/// The head of `union bpf_attr` for loading.
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
}

/// The head of `union bpf_attr` for attaching.
#[repr(C)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Loads the program and makes it the one of this directory (replacing ours from before: no flags means one program).
pub(super) fn attach(dir: &Path, rules: &[DeviceRule]) -> Result<()> {
    let code = program(rules);
    let license = c"GPL";
    let load = LoadAttr {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(code.len())
            .map_err(|_| Error::new("load device rules: too many", Errno::E2BIG))?,
        insns: code.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
    };
    // SAFETY: `load` and what it points to live through the call; its size is passed along.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const load,
            size_of::<LoadAttr>(),
        )
    };
    let program = check_fd(ret, || "load device rules".into())?;
    let target = std::fs::File::open(dir)
        .map_err(|e| Error::from_io(format!("open cgroup {}", dir.display()), &e))?;
    let attr = AttachAttr {
        target_fd: target.as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: 0,
    };
    // SAFETY: as above.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_ATTACH,
            &raw const attr,
            size_of::<AttachAttr>(),
        )
    };
    crate::raw::check(ret, || format!("attach device rules to {}", dir.display())).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the few instructions used here.
    fn run(code: &[Insn], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [kind | access << 16, major, minor];
        let mut r = [0_u64; 11];
        let mut at = 0_usize;
        loop {
            let i = code[at];
            let (op, dst, src) = (i as u8, (i >> 8 & 15) as usize, (i >> 12 & 15) as usize);
            let (off, imm) = ((i >> 16) as i16, (i >> 32) as i32);
            at += 1;
            match op {
                LDX_W => r[dst] = u64::from(context[off as usize / 4]),
                MOV32_X => r[dst] = r[src] & 0xffff_ffff,
                AND32_K => r[dst] = r[dst] & u64::from(imm.cast_unsigned()) & 0xffff_ffff,
                RSH32_K => r[dst] = (r[dst] & 0xffff_ffff) >> imm,
                MOV_K => r[dst] = imm as i64 as u64,
                JNE_K if r[dst] != imm as i64 as u64 => at += off as usize,
                JNE_X if r[dst] != r[src] => at += off as usize,
                JNE_K | JNE_X => {}
                EXIT => return r[0] != 0,
                _ => panic!("unknown instruction {op:x}"),
            }
        }
    }

    /// What the verifier's first pass demands: every instruction can be reached.
    fn all_reachable(code: &[Insn]) -> bool {
        let mut seen = vec![false; code.len()];
        let mut todo = vec![0_usize];
        while let Some(at) = todo.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let op = code[at] as u8;
            if op == JNE_K || op == JNE_X {
                todo.push(at + 1 + ((code[at] >> 16) as i16) as usize);
            }
            if op != EXIT {
                todo.push(at + 1);
            }
        }
        seen.iter().all(|s| *s)
    }

    #[test]
    fn nothing_is_unreachable() {
        let null = DeviceRule {
            kind: DeviceKind::Char,
            ..DeviceRule::all(true)
        };
        for rules in [
            vec![],
            vec![DeviceRule::all(false)],
            vec![null.clone()],
            vec![DeviceRule::all(false), null],
        ] {
            assert!(all_reachable(&program(&rules)), "{rules:?}");
        }
    }

    #[test]
    fn the_last_matching_rule_decides() {
        let null = DeviceRule {
            kind: DeviceKind::Char,
            major: Some(1),
            minor: Some(3),
            ..DeviceRule::all(true)
        };
        let make = DeviceRule {
            kind: DeviceKind::Block,
            read: false,
            write: false,
            ..DeviceRule::all(true)
        };
        let pts = DeviceRule {
            kind: DeviceKind::Char,
            major: Some(136),
            ..DeviceRule::all(true)
        };
        let code = program(&[DeviceRule::all(false), null, make, pts]);
        let (block, char, mknod, read, write) = (1, 2, 1, 2, 4);
        assert!(run(&code, char, read | write, 1, 3));
        assert!(!run(&code, char, read, 1, 1));
        assert!(run(&code, block, mknod, 8, 0));
        assert!(!run(&code, block, mknod | read, 8, 0));
        assert!(!run(&code, block, write, 8, 0));
        assert!(run(&code, char, write, 136, 77));
        let open = program(&[DeviceRule::all(true)]);
        assert!(run(&open, block, 7, 8, 0));
    }
}
