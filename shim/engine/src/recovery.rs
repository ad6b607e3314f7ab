//! Start-up: what the records say, what supervisors are found, and what follows. The truth is known before the doors
//! open; slow clean-up goes on behind them, each by its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gantry_model::container::Container;
use gantry_model::operation::Operation;
use gantry_model::sandbox::Sandbox;
use gantry_model::state::{Move, State};
use gantry_model::supervisor::{Exit, Recovered, TaskRecord, TaskState};
use gantry_model::{ContainerId, Result, SandboxId};
use tokio::sync::oneshot;

use crate::RemoveContainer;
use crate::change::Item;
use crate::effect::{self, network};
use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::owner::{Key, Live, Message, Object, Wish, policy};
use crate::{late, networks};

/// The note that keeps the boot id of the last daemon's time.
const BOOT: &str = "boot-id";

/// How long a supervisor that was never committed may take to end by itself.
const UNCOMMITTED: Duration = Duration::from_secs(10);

pub(crate) async fn run(inner: &Arc<Inner>, unreadable: &BTreeSet<ContainerId>) -> Result<()> {
    let booted = booted(inner).await?;
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
    let sandboxes: Vec<Arc<Sandbox>> = inner.ledger.read().sandboxes.values().cloned().collect();
    // Beside each other: each writes its own records, and their commits share their syncs.
    let each = sandboxes.iter().map(|sandbox| {
        let one = found.remove(&sandbox.id);
        async move {
            match one {
                // A container this version cannot read is not ours to end: a newer version will know it.
                _ if sandbox
                    .container
                    .as_ref()
                    .is_some_and(|id| unreadable.contains(id)) =>
                {
                    Ok(())
                }
                Some(one) if one.alive && one.committed && !one.stale => {
                    adopt(inner, sandbox, one).await
                }
                other => bury(inner, sandbox, other).await,
            }
        }
    });
    futures_util::future::join_all(each)
        .await
        .into_iter()
        .collect::<Result<()>>()?;
    gantry_fault::pass("engine.recovery.after-sandboxes");
    for stray in found.into_values() {
        end_stray(inner, stray).await;
    }
    half_made(inner, &operations).await;
    policies(inner, booted).await?;
    removals(inner);
    leftovers(inner);
    Inner::collect_soon(inner);
    Ok(())
}

/// A live supervisor: its owner gets it, and its containers' records are brought up to what it says. Exits that
/// happened meanwhile come as its events.
async fn adopt(inner: &Arc<Inner>, sandbox: &Sandbox, one: Recovered) -> Result<()> {
    let key = match &sandbox.container {
        Some(container) => Key::Container(container.clone()),
        None => Key::Pod(sandbox.id.clone()),
    };
    let (Some(handle), Some(events)) = (one.handle, one.events) else {
        return unreachable(inner, sandbox).await;
    };
    let let_go = one
        .tasks
        .iter()
        .any(|task| task.state != TaskState::Created);
    let half_made = sandbox.state == State::Created && (sandbox.pod.is_some() || !let_go);
    // Half made: the answer was never given; the caller will ask again and is better off with a whole one.
    // Over: the exit was recorded, but the daemon was killed before it had freed what the run held. The supervisor
    // will not tell that exit again.
    if half_made || is_over(inner, sandbox) {
        let call = inner.call(DRIVER_TIMEOUT);
        if let Err(error) = handle.shutdown(&call).await {
            tracing::warn!(sandbox = %sandbox.id, %error, "ending the supervisor of a sandbox without a run");
        }
        return bury(inner, sandbox, None).await;
    }
    let mut change = inner.change();
    if sandbox.state != State::Running {
        let up = Sandbox {
            state: State::Running,
            ..sandbox.clone()
        };
        change = change.sandbox(up);
    }
    for task in &one.tasks {
        if let Some(record) = caught_up(inner, task) {
            change = change.container(record);
        }
    }
    for container in runs_in(inner, &sandbox.id) {
        let task = one.tasks.iter().find(|task| task.id == container.id);
        if task.is_none_or(|task| task.state == TaskState::Created) && !container.state.is_live() {
            if let Err(error) = handle
                .delete(&inner.call(DRIVER_TIMEOUT), &container.id)
                .await
                && error.kind != gantry_model::ErrorKind::NotFound
            {
                tracing::warn!(container = %container.id, %error, "undoing a start that was cut off");
            }
            change = ended(inner, change, &container, &[]);
        }
    }
    inner.ledger.write(change).await?;
    let _ = inner.owner(&key).send(Message::Up(Live {
        id: sandbox.id.clone(),
        handle,
        events,
    }));
    Ok(())
}

/// Whether a stand-alone container's sandbox has outlived its one run.
fn is_over(inner: &Inner, sandbox: &Sandbox) -> bool {
    let Some(id) = &sandbox.container else {
        return false;
    };
    inner.container(id).map_or(true, |container| {
        let run = container.run.as_ref();
        run.is_none_or(|run| run.sandbox != sandbox.id || run.exit.is_some())
    })
}

/// A supervisor that is alive but cannot be reached: never shown as exited.
async fn unreachable(inner: &Arc<Inner>, sandbox: &Sandbox) -> Result<()> {
    let mut change = inner.change();
    for container in runs_in(inner, &sandbox.id) {
        if let Ok(state) = container.state.after(Move::Lost) {
            change = change.container(Container {
                state,
                ..(*container).clone()
            });
        }
    }
    let mut lost = sandbox.clone();
    lost.state = State::Unknown;
    "its supervisor does not answer".clone_into(&mut lost.reason);
    inner.ledger.write(change.sandbox(lost)).await
}

/// The record of a container whose start was cut off after it had been let go.
fn caught_up(inner: &Inner, task: &TaskRecord) -> Option<Container> {
    let container = inner.container(&task.id).ok()?;
    let run = container.run.as_ref()?;
    if run.number != task.run || container.state.is_live() || task.state == TaskState::Created {
        return None;
    }
    let mut record = (*container).clone();
    if run.exit.is_some() {
        return None;
    }
    record.state = record.state.after(Move::Started).ok()?;
    if let Some(run) = &mut record.run {
        run.started_at = task.started_at;
        run.pid = task.pid;
    }
    Some(record)
}

/// No supervisor lives: every run in the sandbox has ended, and what it held is freed.
async fn bury(inner: &Arc<Inner>, sandbox: &Sandbox, one: Option<Recovered>) -> Result<()> {
    let tasks: Vec<TaskRecord> = match &one {
        Some(one) if !one.stale => one.tasks.clone(),
        _ => Vec::new(),
    };
    let mut change = inner.change();
    for container in runs_in(inner, &sandbox.id) {
        change = ended(inner, change, &container, &tasks);
    }
    let mut down = sandbox.clone();
    down.state = State::Exited;
    if sandbox.state == State::Running {
        "its supervisor is gone".clone_into(&mut down.reason);
    }
    // A pod nobody was told of is gone altogether; others stay until they are removed.
    let forget = sandbox.pod.is_none() || sandbox.state == State::Created;
    inner.ledger.write(change.sandbox(down)).await?;
    let containers: Vec<Arc<Container>> = match &sandbox.container {
        Some(id) => inner.container(id).into_iter().collect(),
        None => inner.containers_of(&sandbox.id),
    };
    // Whatever is asked of them waits until what the run held is free: its root file system may still be mounted.
    for container in &containers {
        let owner = inner.owner_of(&container.id)?;
        let _ = owner.send(Message::Freeing {
            id: container.id.clone(),
        });
    }
    let (inner, sandbox) = (Arc::clone(inner), sandbox.clone());
    tokio::spawn(async move { free(&inner, &sandbox, &containers, forget).await });
    Ok(())
}

fn ended(
    inner: &Inner,
    change: crate::change::Change,
    container: &Container,
    tasks: &[TaskRecord],
) -> crate::change::Change {
    let mut record = container.clone();
    let Some(run) = &mut record.run else {
        return change;
    };
    let told = tasks
        .iter()
        .find(|task| task.id == container.id && task.run == run.number);
    let exit = told.and_then(|task| task.exit.clone());
    let was_live = container.state.is_live();
    run.exit = Some(exit.unwrap_or_else(|| {
        let (code, reason) = match was_live {
            true => (255, "its supervisor died, how the run ended is not known"),
            false => (128, "its start was cut off"),
        };
        reason.clone_into(&mut run.error);
        Exit {
            code,
            at: inner.now(),
            unknown: was_live,
            ..Exit::default()
        }
    }));
    run.pid = 0;
    let now = inner.now();
    if !was_live {
        // A start by policy that was cut off is begun again; a user's was not answered.
        let id = record.id.clone();
        return change.container(record).amend(&id, move |record| {
            if record.restart.count > 0 {
                record.restart = policy::after(record, policy::Cause::NotStarted, now);
            }
        });
    }
    record.state = State::Exited;
    let code = record.exit().map_or(255, |exit| exit.code).to_string();
    let change = change.container_event("die", &record, &[("exitCode", code)]);
    effect::finish::with_policy(change, record, now)
}

async fn free(inner: &Arc<Inner>, sandbox: &Sandbox, containers: &[Arc<Container>], forget: bool) {
    let call = inner.call(DRIVER_TIMEOUT);
    network::leave_all(inner, &call, &sandbox.id).await;
    gantry_fault::pass("engine.recovery.after-leave");
    discard_when_dead(inner, &sandbox.id, &sandbox.cgroup).await;
    gantry_fault::pass("engine.recovery.after-discard");
    for container in containers {
        effect::volume::release(inner, &call, container).await;
    }
    if forget {
        if sandbox.pod.is_some()
            && let Err(error) = inner
                .host
                .remove_dir(&inner.container_dir(sandbox.id.as_str()))
                .await
        {
            tracing::warn!(sandbox = %sandbox.id, %error, "removing a sandbox's folder");
        }
        let change = inner.change().with(Item::NoSandbox(sandbox.id.clone()));
        if let Err(error) = inner.ledger.write(change).await {
            tracing::error!(sandbox = %sandbox.id, %error, "recording that a sandbox is gone");
        }
    }
    for container in containers {
        if let Ok(owner) = inner.owner_of(&container.id) {
            let _ = owner.send(Message::Settled {
                id: container.id.clone(),
            });
        }
    }
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
        discard_when_dead(&inner, &stray.id, &cgroup).await;
    });
}

/// One that was never committed ends by itself as soon as it has seen its birth pipe close.
async fn discard_when_dead(inner: &Arc<Inner>, id: &SandboxId, cgroup: &str) {
    let call = inner.call(DRIVER_TIMEOUT);
    let until = tokio::time::Instant::now() + UNCOMMITTED;
    loop {
        match inner.supervisors.discard(&call, id, cgroup).await {
            Err(error)
                if error.kind == gantry_model::ErrorKind::Conflict
                    && tokio::time::Instant::now() < until =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return tracing::warn!(sandbox = %id, %error, "clearing away a sandbox"),
            Ok(()) => return,
        }
    }
}

fn runs_in(inner: &Inner, sandbox: &SandboxId) -> Vec<Arc<Container>> {
    let tables = inner.ledger.read();
    let all = tables
        .containers
        .values()
        .map(|seen| Arc::clone(&seen.borrow().container));
    all.filter(|container| {
        container
            .run
            .as_ref()
            .is_some_and(|run| run.sandbox == *sandbox && run.exit.is_none())
    })
    .collect()
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
async fn booted(inner: &Arc<Inner>) -> Result<bool> {
    let last: Option<String> = inner.ledger.note(BOOT)?;
    let now = &inner.config.boot_id;
    if last.as_ref() != Some(now) {
        let change = inner.change().with(Item::Note(BOOT, now.clone()));
        inner.ledger.write(change).await?;
    }
    Ok(last.is_some_and(|last| last != *now))
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

/// Goes on with a removal. What `--rm` began takes the anonymous volumes with it.
pub(crate) fn remove(inner: &Arc<Inner>, id: &ContainerId) {
    let volumes = inner
        .container(id)
        .is_ok_and(|container| container.spec.auto_remove);
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
    let (all, endpoints) = {
        let tables = inner.ledger.read();
        let all: Vec<_> = tables
            .networks
            .values()
            .map(|network| (**network).clone())
            .collect();
        let endpoints: Vec<_> = tables
            .endpoints
            .values()
            .map(|endpoint| (**endpoint).clone())
            .collect();
        (all, endpoints)
    };
    let drivers: std::collections::BTreeSet<&str> = all
        .iter()
        .map(|network| network.spec.driver.as_str())
        .collect();
    for name in drivers {
        let Ok(driver) = inner.drivers.network(name) else {
            continue;
        };
        let mine: Vec<_> = all
            .iter()
            .filter(|network| network.spec.driver == name)
            .cloned()
            .collect();
        let on_mine = |e: &&gantry_model::network::Endpoint| {
            mine.iter().any(|network| network.id == e.network)
        };
        let endpoints: Vec<_> = endpoints.iter().filter(on_mine).cloned().collect();
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
}
