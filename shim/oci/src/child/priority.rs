//! How the kernel schedules the process, and the few settings of the whole container that a process carries.

use crate::error::{FailureKind, LaunchError, Result};
use gantry_sys::scheduling::{self, Scheduler};
use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxMemoryPolicy, LinuxPersonalityDomain, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, Process,
};

fn impossible(what: &str) -> impl FnOnce(gantry_sys::Error) -> LaunchError + '_ {
    move |e| LaunchError {
        kind: FailureKind::InvalidSpec,
        message: format!("{what}: {}", e.errno().desc()),
        errno: e.errno() as i32,
    }
}

/// What cannot be right, told before a process is made.
pub(super) fn check(process: &Process) -> Result<()> {
    if let Some(wanted) = process.scheduler() {
        scheduler(wanted)?;
    }
    match process.io_priority() {
        Some(wanted) if !(0..=7).contains(&wanted.priority()) => Err(LaunchError::spec(format!(
            "process.ioPriority.priority {} is not from 0 to 7",
            wanted.priority()
        ))),
        _ => Ok(()),
    }
}

/// Scheduler and I/O priority, while the host's rights are held.
pub(super) fn of_process(process: &Process) -> Result<()> {
    if let Some(wanted) = process.scheduler() {
        scheduling::set_scheduler(scheduler(wanted)?).map_err(impossible("process.scheduler"))?;
    }
    if let Some(wanted) = process.io_priority() {
        let class = match wanted.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = u16::try_from(wanted.priority()).unwrap_or(7);
        scheduling::set_io_priority(class, level).map_err(impossible("process.ioPriority"))?;
    }
    Ok(())
}

fn scheduler(wanted: &oci_spec::runtime::Scheduler) -> Result<Scheduler> {
    use LinuxSchedulerFlag as F;
    use LinuxSchedulerPolicy as P;
    let policy = match wanted.policy() {
        P::SchedOther => 0,
        P::SchedFifo => 1,
        P::SchedRr => 2,
        P::SchedBatch => 3,
        P::SchedIso => 4,
        P::SchedIdle => 5,
        P::SchedDeadline => 6,
    };
    let flag = |f: &F| match f {
        F::SchedResetOnFork => Ok(0x01),
        F::SchedFlagReclaim => Ok(0x02),
        F::SchedFlagDLOverrun => Ok(0x04),
        F::SchedFlagKeepPolicy => Ok(0x08),
        F::SchedFlagKeepParams => Ok(0x10),
        // A configuration cannot say the values these go with.
        F::SchedFlagUtilClampMin | F::SchedFlagUtilClampMax => Err(LaunchError::unsupported(
            format!("process.scheduler flag {f} is not supported"),
        )),
    };
    let mut flags = 0;
    for one in wanted.flags().iter().flatten() {
        flags |= flag(one)?;
    }
    let priority = wanted.priority().unwrap_or(0);
    Ok(Scheduler {
        policy,
        flags,
        nice: wanted.nice().unwrap_or(0),
        priority: u32::try_from(priority)
            .map_err(|_| LaunchError::spec(format!("process.scheduler.priority {priority}")))?,
        runtime: wanted.runtime().unwrap_or(0),
        deadline: wanted.deadline().unwrap_or(0),
        period: wanted.period().unwrap_or(0),
    })
}

/// Processors of an exec: before it enters the container's cgroup, and for its program.
pub(super) fn on_processors(process: &Process, last: bool) -> Result<()> {
    let Some(affinity) = process.exec_cpu_affinity() else {
        return Ok(());
    };
    let list = if last {
        affinity.cpu_affinity_final()
    } else {
        affinity.initial()
    };
    let Some(text) = list.as_deref().filter(|t| !t.is_empty()) else {
        return Ok(());
    };
    let bad = || LaunchError::spec(format!("process.execCPUAffinity {text:?}"));
    let numbers = scheduling::parse_list(text).ok_or_else(bad)?;
    scheduling::set_affinity(&numbers).map_err(impossible("process.execCPUAffinity"))
}

/// Execution domain and memory policy.
pub(super) fn of_container(linux: &Linux) -> Result<()> {
    if let Some(wanted) = linux.personality() {
        let domain = match wanted.domain() {
            LinuxPersonalityDomain::PerLinux => 0,
            LinuxPersonalityDomain::PerLinux32 => 8,
        };
        scheduling::set_personality(domain).map_err(impossible("linux.personality"))?;
    }
    linux.memory_policy().as_ref().map_or(Ok(()), memory)
}

fn memory(wanted: &LinuxMemoryPolicy) -> Result<()> {
    use MemoryPolicyFlagType as F;
    use MemoryPolicyModeType as M;
    let mode = match wanted.mode() {
        M::MpolDefault => 0,
        M::MpolPreferred => 1,
        M::MpolBind => 2,
        M::MpolInterleave => 3,
        M::MpolLocal => 4,
        M::MpolPreferredMany => 5,
        M::MpolWeightedInterleave => 6,
    };
    let flag = |f: &F| match f {
        F::MpolFNumaBalancing => 1 << 13,
        F::MpolFRelativeNodes => 1 << 14,
        F::MpolFStaticNodes => 1 << 15,
    };
    let flags = wanted
        .flags()
        .iter()
        .flatten()
        .fold(0, |all, f| all | flag(f));
    let nodes = match wanted.nodes().as_deref().filter(|t| !t.is_empty()) {
        Some(text) => scheduling::parse_list(text)
            .ok_or_else(|| LaunchError::spec(format!("linux.memoryPolicy.nodes {text:?}")))?,
        None => Vec::new(),
    };
    scheduling::set_memory_policy(mode | flags, &nodes).map_err(impossible("linux.memoryPolicy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(json: &str) -> Process {
        let text = format!(r#"{{"cwd":"/","user":{{"uid":0,"gid":0}},{json}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_the_kernel_would_not_take_is_named() {
        let ok = r#""scheduler":{"policy":"SCHED_BATCH","nice":5},"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":7}"#;
        assert!(check(&process(ok)).is_ok());
        for bad in [
            r#""ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8}"#,
            r#""scheduler":{"policy":"SCHED_FIFO","priority":-1}"#,
            r#""scheduler":{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_UTIL_CLAMP_MIN"]}"#,
        ] {
            assert!(check(&process(bad)).is_err(), "{bad}");
        }
    }
}
