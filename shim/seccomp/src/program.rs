//! Classic BPF: instructions, and code for a comparison, a call's decision and a search tree.

use crate::rules::{Condition, Decision};
use oci_spec::runtime::LinuxSeccompOperator as Op;

/// One instruction: code, jump if true, jump if false, constant (struct sock_filter).
pub(crate) type Insn = (u16, u8, u8, u32);

pub(crate) const LOAD: u16 = 0x20;
pub(crate) const AND: u16 = 0x54;
pub(crate) const JUMP: u16 = 0x05;
pub(crate) const JEQ: u16 = 0x15;
pub(crate) const JGT: u16 = 0x25;
pub(crate) const JGE: u16 = 0x35;
pub(crate) const RETURN: u16 = 0x06;

/// Offsets in struct seccomp_data.
pub(crate) const NUMBER: u32 = 0;
pub(crate) const ARCH: u32 = 4;
const ARGS: u32 = 16;

/// Where a comparison goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    /// The next instruction.
    Next,
    /// The condition holds.
    Pass,
    /// It does not.
    Fail,
}

/// A binary search over sorted runs; `runs` is not empty and its first start is not compared.
pub(crate) fn search(runs: &[(u32, Decision)]) -> Vec<Insn> {
    if let [(_, decision)] = runs {
        return decide(decision);
    }
    let (low, high) = runs.split_at(runs.len() / 2);
    let (low, pivot, high) = (search(low), high[0].0, search(high));
    let mut code = match u8::try_from(low.len()) {
        Ok(skip) => vec![(JGE, skip, 0, pivot)],
        // Too far for a conditional jump's eight bits.
        Err(_) => vec![(JGE, 0, 1, pivot), (JUMP, 0, 0, len(&low))],
    };
    code.extend(low);
    code.extend(high);
    code
}

/// Code that ends with the decision's return value. The call number is in the accumulator and may be overwritten.
pub(crate) fn decide(decision: &Decision) -> Vec<Insn> {
    let mut code = Vec::new();
    for (conditions, value) in &decision.rules {
        // A rule ends with its return; a failed condition jumps behind that.
        let parts: Vec<_> = conditions.iter().map(compare).collect();
        let mut rest: usize = parts.iter().map(Vec::len).sum();
        for part in parts {
            rest -= part.len();
            code.extend(resolve(&part, rest + 1));
        }
        code.push((RETURN, 0, 0, *value));
    }
    code.push((RETURN, 0, 0, decision.otherwise));
    code
}

fn resolve(part: &[(u16, u32, To, To)], after: usize) -> Vec<Insn> {
    let count = part.len();
    let one = |at: usize, to: To| {
        let behind = count - at - 1;
        let far = match to {
            To::Next => 0,
            To::Pass => behind,
            To::Fail => behind + after,
        };
        u8::try_from(far).expect("six conditions of six instructions each fit")
    };
    part.iter()
        .enumerate()
        .map(|(at, (code, k, t, f))| (*code, one(at, *t), one(at, *f), *k))
        .collect()
}

/// Arguments have 64 bits and the machine 32: the upper half first.
fn compare(c: &Condition) -> Vec<(u16, u32, To, To)> {
    let (high, low) = ((c.value >> 32) as u32, c.value as u32);
    let base = ARGS + 8 * u32::try_from(c.index).expect("at most 5");
    // Little-endian, as both architectures with a table are.
    let (load_low, load_high) = (
        (LOAD, base, To::Next, To::Next),
        (LOAD, base + 4, To::Next, To::Next),
    );
    let ordered = |greater: To, less: To, last: (u16, To, To)| {
        vec![
            load_high,
            (JGT, high, greater, To::Next),
            (JEQ, high, To::Next, less),
            load_low,
            (last.0, low, last.1, last.2),
        ]
    };
    match c.op {
        Op::ScmpCmpEq => vec![
            load_high,
            (JEQ, high, To::Next, To::Fail),
            load_low,
            (JEQ, low, To::Pass, To::Fail),
        ],
        Op::ScmpCmpNe => vec![
            load_high,
            (JEQ, high, To::Next, To::Pass),
            load_low,
            (JEQ, low, To::Fail, To::Pass),
        ],
        Op::ScmpCmpGt => ordered(To::Pass, To::Fail, (JGT, To::Pass, To::Fail)),
        Op::ScmpCmpGe => ordered(To::Pass, To::Fail, (JGE, To::Pass, To::Fail)),
        Op::ScmpCmpLt => ordered(To::Fail, To::Pass, (JGE, To::Fail, To::Pass)),
        Op::ScmpCmpLe => ordered(To::Fail, To::Pass, (JGT, To::Fail, To::Pass)),
        Op::ScmpCmpMaskedEq => vec![
            load_high,
            (AND, high, To::Next, To::Next),
            (JEQ, (c.masked >> 32) as u32, To::Next, To::Fail),
            load_low,
            (AND, low, To::Next, To::Next),
            (JEQ, c.masked as u32, To::Pass, To::Fail),
        ],
    }
}

pub(crate) fn len(code: &[Insn]) -> u32 {
    u32::try_from(code.len()).expect("programs are far shorter than 2^32")
}
