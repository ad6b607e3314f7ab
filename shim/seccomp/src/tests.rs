//! Programs are run by a small interpreter and compared, call by call, with a plain reading of the profile.

use crate::program::{AND, JEQ, JGE, JGT, JUMP, LOAD, RETURN};
use crate::rules::action;
use crate::table::numbers;
use crate::{Error, Program, compile, default_profile};
use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator as Op,
};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn run(program: &Program, arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend([0; 8]);
    args.iter().for_each(|a| data.extend(a.to_le_bytes()));
    let (mut at, mut a, mut steps) = (0_usize, 0_u32, 0);
    loop {
        let (code, t, f, k) = program.instructions[at];
        at += 1;
        steps += 1;
        assert!(steps < 300, "too many steps");
        let jump = |yes: bool| usize::from(if yes { t } else { f });
        match code {
            LOAD => a = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap()),
            AND => a &= k,
            JUMP => at += k as usize,
            JEQ => at += jump(a == k),
            JGT => at += jump(a > k),
            JGE => at += jump(a >= k),
            RETURN => return k,
            _ => panic!("unknown instruction {code:x}"),
        }
    }
}

fn holds(arg: &LinuxSeccompArg, args: [u64; 6]) -> bool {
    let (have, want) = (args[arg.index()], arg.value());
    match arg.op() {
        Op::ScmpCmpEq => have == want,
        Op::ScmpCmpNe => have != want,
        Op::ScmpCmpGt => have > want,
        Op::ScmpCmpGe => have >= want,
        Op::ScmpCmpLt => have < want,
        Op::ScmpCmpLe => have <= want,
        Op::ScmpCmpMaskedEq => have & want == arg.value_two().unwrap_or(0),
    }
}

/// Reads the profile from top to bottom for one call.
fn plain(profile: &LinuxSeccomp, name: &str, args: [u64; 6]) -> u32 {
    let default = action(profile.default_action(), profile.default_errno_ret()).unwrap();
    let rules: Vec<_> = profile
        .syscalls()
        .iter()
        .flatten()
        .filter(|r| r.names().iter().any(|n| n == name))
        .collect();
    let value = |r: &&oci_spec::runtime::LinuxSyscall| action(r.action(), r.errno_ret()).unwrap();
    let rules: Vec<_> = rules.into_iter().filter(|r| value(r) != default).collect();
    if let Some(rule) = rules
        .iter()
        .find(|r| r.args().iter().flatten().next().is_none())
    {
        return value(rule);
    }
    let one = |r: &&&oci_spec::runtime::LinuxSyscall| {
        let list: Vec<_> = r.args().iter().flatten().collect();
        let same = list
            .iter()
            .any(|a| list.iter().filter(|b| b.index() == a.index()).count() > 1);
        if same {
            list.iter().any(|a| holds(a, args))
        } else {
            list.iter().all(|a| holds(a, args))
        }
    };
    rules.iter().find(one).map_or(default, value)
}

const VALUES: [u64; 22] = [
    0,
    1,
    2,
    8,
    16,
    37,
    38,
    39,
    40,
    41,
    45,
    46,
    0x2_0000,
    0x2_0008,
    0x1000_0000,
    0x7e02_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0026,
    0x1_0000_0011,
    u64::MAX,
    0x8000_0000_0000_0000,
];

fn compare_all(profile: &LinuxSeccomp) {
    let program = compile(profile).unwrap();
    for arch in [Arch::ScmpArchX86_64, Arch::ScmpArchX86] {
        if arch != Arch::ScmpArchX86_64
            && !profile.architectures().iter().flatten().any(|a| *a == arch)
        {
            continue;
        }
        for (name, number) in numbers(arch).unwrap() {
            for a in VALUES {
                for b in [0, a, 3] {
                    let args = [a, b, a, 0, 0, b];
                    let got = run(&program, arch as u32, number, args);
                    let want = plain(profile, name, args);
                    let newer = got == ENOSYS && want == EPERM;
                    assert!(
                        got == want || newer,
                        "{arch:?} {name} {args:x?}: {got:x}, not {want:x}"
                    );
                }
            }
        }
    }
}

fn call(program: &Program, name: &str, first: u64) -> u32 {
    let table = numbers(Arch::ScmpArchX86_64).unwrap();
    let number = table.iter().find(|(n, _)| *n == name).unwrap().1;
    run(
        program,
        Arch::ScmpArchX86_64 as u32,
        number,
        [first, 0, 0, 0, 0, 0],
    )
}

fn caps(list: &[Capability]) -> Capabilities {
    list.iter().copied().collect()
}

#[test]
fn the_tree_says_what_the_default_profile_says() {
    compare_all(&default_profile(&caps(&[])));
    compare_all(&default_profile(&caps(&[
        Capability::SysAdmin,
        Capability::SysPtrace,
        Capability::SysTime,
    ])));
}

#[test]
fn the_default_denies_what_has_hurt_others() {
    let p = compile(&default_profile(&caps(&[
        Capability::Chown,
        Capability::NetAdmin,
    ])))
    .unwrap();
    for name in [
        "io_uring_setup",
        "keyctl",
        "add_key",
        "bpf",
        "userfaultfd",
        "unshare",
        "mount",
        "setns",
        "kexec_load",
        "init_module",
        "open_by_handle_at",
        "perf_event_open",
        "pivot_root",
        "reboot",
    ] {
        assert_eq!(call(&p, name, 0), EPERM, "{name}");
    }
    assert_eq!(call(&p, "socket", 38), EPERM);
    assert_eq!(call(&p, "socket", 0x1_0000_0026), EPERM);
    assert_eq!(call(&p, "socket", 40), EPERM);
    assert_eq!(call(&p, "socket", 2), ALLOW);
    assert_eq!(call(&p, "clone", 0x1000_0000), EPERM);
    assert_eq!(call(&p, "clone", 0x0011), ALLOW);
    assert_eq!(call(&p, "clone3", 0), ENOSYS);
    assert_eq!(call(&p, "personality", 0x4_0000), EPERM);
    for name in [
        "arch_prctl",
        "read",
        "execve",
        "rseq",
        "ptrace",
        "futex",
        "openat2",
        "statx",
    ] {
        assert_eq!(call(&p, name, 0), ALLOW, "{name}");
    }
}

#[test]
fn other_architectures_and_x32_are_refused() {
    let p = compile(&default_profile(&caps(&[]))).unwrap();
    assert_eq!(run(&p, Arch::ScmpArchArm as u32, 0, [0; 6]), 0x8000_0000);
    assert_eq!(
        run(&p, Arch::ScmpArchX86_64 as u32, 0x4000_0000, [0; 6]),
        ENOSYS
    );
    assert_eq!(run(&p, Arch::ScmpArchX86_64 as u32, 4000, [0; 6]), ENOSYS);
    assert_eq!(run(&p, Arch::ScmpArchX86 as u32, 11, [0; 6]), ALLOW);
}

#[test]
fn the_default_is_short_enough_to_load_fast() {
    let p = compile(&default_profile(&caps(&[]))).unwrap();
    assert!(
        p.instructions.len() < 550,
        "{} instructions",
        p.instructions.len()
    );
}

fn profile(json: &str) -> LinuxSeccomp {
    serde_json::from_str(json).unwrap()
}

#[test]
fn every_operator_and_both_ways_of_combining() {
    for op in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        let json = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":[
            {{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":5,"args":[
              {{"index":0,"value":4294967334,"valueTwo":38,"op":"SCMP_CMP_{op}"}},{{"index":1,"value":2,"op":"SCMP_CMP_GE"}}]}},
            {{"names":["read"],"action":"SCMP_ACT_KILL_PROCESS","args":[
              {{"index":0,"value":38,"valueTwo":0,"op":"SCMP_CMP_{op}"}},{{"index":0,"value":2,"op":"SCMP_CMP_EQ"}}]}}]}}"#
        );
        compare_all(&profile(&json));
    }
}

#[test]
fn an_unconditional_rule_decides_alone_and_an_open_default_stays_open() {
    let p = profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":13},
        {"names":["mkdir"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
    );
    let program = compile(&p).unwrap();
    assert_eq!(call(&program, "mkdir", 0), 0x0005_000d);
    assert_eq!(
        run(&program, Arch::ScmpArchX86_64 as u32, 4000, [0; 6]),
        ALLOW
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    let one = |rest: &str| {
        compile(&profile(&format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{rest}]}}"#
        )))
    };
    let notify = one(r#"{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}"#);
    assert_eq!(call(&notify.unwrap(), "mkdir", 0), 0x7fc0_0000);
    let index = one(
        r#"{"names":["mkdir"],"action":"SCMP_ACT_KILL","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}"#,
    );
    assert_eq!(index, Err(Error::Argument(6)));
    let errno = one(r#"{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":70000}"#);
    assert_eq!(errno, Err(Error::Errno(70_000)));
}
