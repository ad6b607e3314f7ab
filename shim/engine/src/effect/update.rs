//! Changing what a container is while it may be in any operation: its name, limits and restart policy.

use std::sync::Arc;

use gantry_model::container::{Container, Resources};
use gantry_model::operation::OperationKind;
use gantry_model::policy::RestartPolicy;
use gantry_model::state::State;
use gantry_model::{ContainerId, Error, Result};

use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::{UpdateContainer, validate};

pub(crate) async fn rename(
    inner: &Arc<Inner>,
    id: &ContainerId,
    name: String,
    door_data: Option<String>,
) -> Result<()> {
    let container = not_going(inner, id)?;
    let key = format!("container {:?} {name}", container.origin);
    let taken = |by: &ContainerId| {
        Error::already_exists(format!(
            "the container name \"{name}\" is already in use by container \"{by}\""
        ))
    };
    let _name = inner.reserve(key).ok_or_else(|| {
        Error::already_exists(format!(
            "the container name \"{name}\" is being taken by another request"
        ))
    })?;
    if let Some(other) = inner.named(container.origin, &name) {
        return Err(taken(&other));
    }
    let mut renamed = (*container).clone();
    renamed.name.clone_from(&name);
    let old = [("oldName", format!("/{}", container.name))];
    let change = inner.change().container_event("rename", &renamed, &old);
    let change = change.amend(id, move |record| {
        record.name = name;
        if let Some(data) = door_data {
            record.door_data = data;
        }
    });
    inner.ledger.write(change).await
}

pub(crate) async fn run(
    inner: &Arc<Inner>,
    id: &ContainerId,
    update: UpdateContainer,
) -> Result<()> {
    let _one_at_a_time = inner.reserve_in_turn(&format!("update {id}")).await;
    let container = not_going(inner, id)?;
    if let Some(restart) = update.restart
        && restart.policy != RestartPolicy::No
        && container.spec.auto_remove
    {
        return Err(Error::invalid(
            "restart policy cannot be updated because AutoRemove is enabled for the container",
        ));
    }
    let resources = update
        .resources
        .map(|asked| over(&container.spec.resources, asked));
    if let Some(resources) = &resources {
        validate::resources(&inner.config, resources)?;
        if container.state.is_live() {
            let (_operation, call) =
                inner.operation(OperationKind::UpdateContainer, id.as_str(), DRIVER_TIMEOUT);
            let handle = inner.supervisor_of(id).await?;
            inner.waits(&call, "its supervisor to change the limits");
            handle.update(&call, id, resources).await?;
            gantry_fault::pass("engine.update.before-recorded");
        }
    }
    let change = inner.change().container_event("update", &container, &[]);
    let change = change.amend(id, move |record| {
        if let Some(resources) = resources {
            record.spec.resources = resources;
        }
        if let Some(restart) = update.restart {
            record.spec.restart = restart;
            if restart.policy == RestartPolicy::No {
                record.restart.due = None;
            }
        }
        if let Some(data) = update.door_data {
            record.door_data = data;
        }
    });
    inner.ledger.write(change).await
}

fn not_going(inner: &Inner, id: &ContainerId) -> Result<Arc<Container>> {
    let container = inner.container(id)?;
    if container.state == State::Removing {
        return Err(Error::conflict(format!(
            "container {id} is marked for removal and cannot be updated"
        )));
    }
    Ok(container)
}

/// The limits as asked over those that are there.
fn over(now: &Resources, asked: Resources) -> Resources {
    let number = |asked: i64, now: i64| if asked == 0 { now } else { asked };
    let text = |asked: String, now: &String| if asked.is_empty() { now.clone() } else { asked };
    // CPUs are said as billionths or as quota and period; the last one said holds.
    let by_quota = asked.cpu_quota != 0 || asked.cpu_period != 0;
    let by_cpus = asked.nano_cpus != 0;
    Resources {
        memory: number(asked.memory, now.memory),
        memory_swap: number(asked.memory_swap, now.memory_swap),
        memory_reservation: number(asked.memory_reservation, now.memory_reservation),
        nano_cpus: if by_quota {
            0
        } else {
            number(asked.nano_cpus, now.nano_cpus)
        },
        cpu_quota: if by_cpus {
            0
        } else {
            number(asked.cpu_quota, now.cpu_quota)
        },
        cpu_period: if by_cpus {
            0
        } else {
            number(asked.cpu_period, now.cpu_period)
        },
        cpu_shares: number(asked.cpu_shares, now.cpu_shares),
        cpuset_cpus: text(asked.cpuset_cpus, &now.cpuset_cpus),
        cpuset_mems: text(asked.cpuset_mems, &now.cpuset_mems),
        pids_limit: asked.pids_limit.or(now.pids_limit),
        oom_score_adj: if asked.oom_score_adj == 0 {
            now.oom_score_adj
        } else {
            asked.oom_score_adj
        },
        ulimits: if asked.ulimits.is_empty() {
            now.ulimits.clone()
        } else {
            asked.ulimits
        },
        shm_size: now.shm_size,
        unified: if asked.unified.is_empty() {
            now.unified.clone()
        } else {
            asked.unified
        },
    }
}
