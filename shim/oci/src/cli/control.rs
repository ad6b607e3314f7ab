//! `pause`, `resume`, `update` and `events --stats`.

use super::Outcome;
use super::args::Args;
use super::state::Store;
use crate::error::{FailureKind, LaunchError, Result};
use gantry_sys::cgroup::{Hierarchies, Limits};
use serde_json::json;
use std::io::Read;

pub(super) fn freeze(store: &Store, on: bool) -> Outcome {
    let loaded = store.load()?;
    let group = loaded.state.group()?;
    let (wanted, status) = (
        if on { "running" } else { "paused" },
        loaded.report().status,
    );
    // A created one can be paused as well, as its first process is there.
    if status != wanted && !(on && status == "created") {
        return Err(LaunchError::new(
            FailureKind::System,
            format!("container {:?} is {status} and not {wanted}", store.id),
        ));
    }
    if on { group.freeze() } else { group.thaw() }?;
    Ok(0)
}

pub(super) fn update(store: &Store, args: &Args) -> Outcome {
    let state = store.load()?.state;
    let limits = limits(args)?;
    let mut group = state.group()?;
    group
        .update(&Hierarchies::detect()?, &limits)
        .map_err(|e| e.within(&format!("update container {:?}", store.id)))?;
    Ok(0)
}

fn limits(args: &Args) -> Result<Limits> {
    if let Some(path) = args.get("resources") {
        let mut text = String::new();
        let read = if path == "-" {
            std::io::stdin().read_to_string(&mut text)
        } else {
            std::fs::File::open(path).and_then(|mut f| f.read_to_string(&mut text))
        };
        let bad = |e: &dyn std::fmt::Display| LaunchError::spec(format!("resources {path}: {e}"));
        read.map_err(|e| bad(&e))?;
        let resources = serde_json::from_str(&text).map_err(|e| bad(&e))?;
        return crate::update_limits(&resources);
    }
    Ok(Limits {
        memory: args.number("memory")?,
        memory_reservation: args.number("memory-reservation")?,
        memory_swap: args.number("memory-swap")?,
        cpu_period: args.number("cpu-period")?,
        cpu_quota: args.number("cpu-quota")?,
        cpu_shares: args.number("cpu-share")?,
        cpuset_cpus: args.get("cpuset-cpus").map(str::to_owned),
        cpuset_mems: args.get("cpuset-mems").map(str::to_owned),
        pids: args.number("pids-limit")?,
        blkio_weight: args.number("blkio-weight")?,
        ..Limits::default()
    })
}

pub(super) fn stats(store: &Store, args: &Args) -> Outcome {
    if !args.has("stats") {
        return Err(LaunchError::unsupported(
            "events without --stats is not supported",
        ));
    }
    let group = store.load()?.state.group()?;
    let s = group.stats()?;
    let document = json!({"type": "stats", "id": store.id, "data": {
        "cpu": {
            "usage": {"total": s.cpu_usage_ns, "percpu": s.cpu_per_core_ns, "kernel": s.cpu_system_ns, "user": s.cpu_user_ns},
            "throttling": {"periods": s.cpu_periods, "throttledPeriods": s.cpu_throttled_periods, "throttledTime": s.cpu_throttled_ns}
        },
        "memory": {
            "usage": {"usage": s.memory_usage, "max": s.memory_peak, "limit": s.memory_limit, "failcnt": s.memory_failures},
            "raw": s.memory_stat
        },
        "pids": {"current": s.pids, "limit": s.pids_limit}
    }});
    super::print(&document.to_string())
}
