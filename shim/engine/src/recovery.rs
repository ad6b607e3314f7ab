//! Start-up: what the records say, what supervisors are found, and what follows. The truth is known before the doors
//! open; slow clean-up goes on behind them, each by its owner.

mod sandboxes;

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::container::Container;
use gantry_model::operation::Operation;
use gantry_model::sandbox::Sandbox;
use gantry_model::state::State;
use gantry_model::supervisor::Recovered;
use gantry_model::{ContainerId, Result, SandboxId};
use tokio::sync::oneshot;

use crate::RemoveContainer;
use crate::change::Item;
use crate::effect::network;
use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::owner::{Message, Object, Wish, policy};
use crate::{late, networks};

/// The note that keeps the boot id of the last daemon's time.
const BOOT: &str = "boot-id";

pub(crate) async fn run(inner: &Arc<Inner>) -> Result<()> {
    let booted = booted(inner)?;
    let mut found: BTreeMap<SandboxId, Recovered> = inner
        .supervisors
        .recover()
        .await?
        .into_iter()
        .map(|one| (one.id.clone(), one))
        .collect();
    let operations: Vec<Operation> = inner.ledger.read().operations.values().cloned().collect();
    networks(inner).await;
    gantry_fault::pass("engine.recovery.after-networks");
    let known: Vec<Arc<Sandbox>> = inner.ledger.read().sandboxes.values().cloned().collect();
    // Beside each other: each writes its own records, and their commits share their syncs.
    let each = known.iter().map(|sandbox| {
        let one = found.remove(&sandbox.id);
        async move {
            match one {
                _ if inner.unreadable.concerns(sandbox) => Ok(()),
                Some(one) if one.alive && one.committed && !one.stale => {
                    sandboxes::adopt(inner, sandbox, one).await
                }
                other => sandboxes::bury(inner, sandbox, other, None).await,
            }
        }
    });
    futures_util::future::join_all(each)
        .await
        .into_iter()
        .collect::<Result<()>>()?;
    gantry_fault::pass("engine.recovery.after-sandboxes");
    found.retain(|id, _| !inner.unreadable.sandboxes.contains(id));
    for stray in found.into_values() {
        end_stray(inner, stray).await;
    }
    half_made(inner, &operations).await;
    policies(inner, booted).await?;
    note_boot(inner).await?;
    removals(inner);
    leftovers(inner);
    Inner::collect_soon(inner);
    Ok(())
}

/// A supervisor nobody has a record of: told to end.
async fn end_stray(inner: &Arc<Inner>, stray: Recovered) {
    let inner = Arc::clone(inner);
    tokio::spawn(async move {
        if let Some(handle) = &stray.handle
            && let Err(error) = handle.shutdown(&inner.call(DRIVER_TIMEOUT)).await
        {
            tracing::warn!(sandbox = %stray.id, %error, "ending a supervisor nobody knows");
        }
        let cgroup = format!("{}/{}", inner.config.cgroup_parent, stray.id.short());
        sandboxes::discard_when_dead(&inner, &stray.id, &cgroup).await;
    });
}

/// Operations that were cut off. One that cannot be taken up now (its plugin is not there) stays in the records.
async fn half_made(inner: &Arc<Inner>, operations: &[Operation]) {
    for operation in operations {
        if let Err(error) = late::take_up(inner, operation).await {
            tracing::warn!(operation = %operation.id, kind = ?operation.kind, object = operation.object, %error, "taking up an operation that was cut off");
        }
    }
    for endpoint in network::orphans(inner) {
        if let Err(error) = network::leave_orphan(inner, &endpoint).await {
            tracing::warn!(endpoint = %endpoint.id, %error, "leaving a network with an endpoint that was left");
        }
    }
}

/// Restart policies go on where they were. After a boot those begin again that `always` means, whoever stopped them.
async fn policies(inner: &Arc<Inner>, booted: bool) -> Result<()> {
    let now = inner.now();
    let all: Vec<Arc<Container>> = {
        let tables = inner.ledger.read();
        let seen = tables.containers.values();
        seen.map(|seen| Arc::clone(&seen.borrow().container))
            .collect()
    };
    let idle = all
        .iter()
        .filter(|container| !container.state.is_live() && container.state != State::Removing);
    for container in idle {
        let starts = booted && policy::at_boot(container);
        if starts {
            let change = inner.change().amend(&container.id, move |record| {
                record.restart.due = Some(now);
            });
            inner.ledger.write(change).await?;
        }
        // Of a run that has just been buried the owner hears when everything is free.
        if starts || container.restart.due.is_some() {
            let owner = inner.owner_of(&container.id)?;
            let _ = owner.send(Message::Due {
                id: container.id.clone(),
            });
        }
    }
    Ok(())
}

/// Whether the machine was booted since the last daemon of this instance ran. The first one ever saw no boot.
fn booted(inner: &Inner) -> Result<bool> {
    let last: Option<String> = inner.ledger.note(BOOT)?;
    Ok(last.is_some_and(|last| last != inner.config.boot_id))
}

/// Written when everything that follows from a boot is: doing it twice does no harm, forgetting it does.
async fn note_boot(inner: &Arc<Inner>) -> Result<()> {
    let now = &inner.config.boot_id;
    if inner.ledger.note::<String>(BOOT)?.as_ref() == Some(now) {
        return Ok(());
    }
    let change = inner.change().with(Item::Note(BOOT, now.clone()));
    inner.ledger.write(change).await
}

/// What the snapshotter holds of snapshots that were never whole goes, beside everything else.
fn leftovers(inner: &Arc<Inner>) {
    let inner = Arc::clone(inner);
    tokio::spawn(async move {
        let name = &inner.config.snapshotter;
        let call = inner.call(DRIVER_TIMEOUT);
        let result = match inner.drivers.snapshotter(name) {
            Ok(driver) => driver.cleanup(&call).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::warn!(snapshotter = name, %error, "clearing away leftovers");
        }
    });
}

/// Removals that were cut off go on.
fn removals(inner: &Arc<Inner>) {
    let removing: Vec<ContainerId> = {
        let tables = inner.ledger.read();
        let all = tables
            .containers
            .values()
            .map(|seen| Arc::clone(&seen.borrow().container));
        // `--rm` of a run that is over and was not followed by its removal any more.
        let over = |container: &Container| {
            container.spec.auto_remove
                && container.pod.is_none()
                && container.restart.due.is_none()
                && !container.state.is_live()
                && container.exit().is_some()
        };
        all.filter(|container| container.state == State::Removing || over(container))
            .map(|container| container.id.clone())
            .collect()
    };
    for id in removing {
        remove(inner, &id);
    }
}

/// Goes on with a removal. What `--rm` began takes the anonymous volumes with it, as what was asked to.
pub(crate) fn remove(inner: &Arc<Inner>, id: &ContainerId) {
    let volumes = inner
        .container(id)
        .is_ok_and(|container| container.spec.auto_remove || container.goes_with_volumes);
    let how = RemoveContainer {
        force: true,
        volumes,
    };
    wish(inner, id, Wish::Remove(how));
}

fn wish(inner: &Arc<Inner>, id: &ContainerId, wish: Wish) {
    let (reply, _) = oneshot::channel();
    if let Ok(owner) = inner.owner_of(id) {
        let _ = owner.send(Message::Wish {
            object: Object::Container(id.clone()),
            wish,
            reply,
        });
    }
}

/// The predefined networks exist, and the kernel agrees with the records.
async fn networks(inner: &Arc<Inner>) {
    for (name, driver) in networks::PREDEFINED {
        let known = inner
            .ledger
            .read()
            .networks
            .values()
            .any(|network| network.spec.name == name);
        if known {
            continue;
        }
        let spec = gantry_model::network::NetworkSpec {
            name: name.to_owned(),
            driver: driver.to_owned(),
            ..Default::default()
        };
        if let Err(error) = networks::create(inner, spec, true).await {
            tracing::warn!(network = name, %error, "making a predefined network");
        }
    }
    let drivers: std::collections::BTreeSet<String> = {
        let tables = inner.ledger.read();
        let all = tables.networks.values();
        all.map(|network| network.spec.driver.clone()).collect()
    };
    // Beside each other: one that hangs costs its own deadline and not the sum of all.
    let each = drivers.iter().map(|name| agree(inner, name));
    futures_util::future::join_all(each).await;
}

/// Tells a network driver what the records say; the kernel agrees with them then.
pub(crate) async fn agree(inner: &Arc<Inner>, name: &str) {
    let Ok(driver) = inner.drivers.network(name) else {
        return;
    };
    let (mine, endpoints) = {
        let tables = inner.ledger.read();
        let mine: Vec<_> = tables
            .networks
            .values()
            .filter(|network| network.spec.driver == name)
            .map(|network| (**network).clone())
            .collect();
        let on_mine = |e: &&Arc<gantry_model::network::Endpoint>| {
            mine.iter().any(|network| network.id == e.network)
        };
        let endpoints: Vec<_> = tables
            .endpoints
            .values()
            .filter(on_mine)
            .map(|endpoint| (**endpoint).clone())
            .collect();
        (mine, endpoints)
    };
    match driver
        .reconcile(&inner.call(DRIVER_TIMEOUT), &mine, &endpoints)
        .await
    {
        Ok(did) => did
            .iter()
            .for_each(|line| tracing::info!(driver = name, "{line}")),
        Err(error) => {
            tracing::warn!(driver = name, %error, "making the kernel agree with the records")
        }
    }
}
