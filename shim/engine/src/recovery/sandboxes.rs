//! What is found of each sandbox: a live supervisor is adopted, a dead one is buried.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::container::Container;
use gantry_model::sandbox::Sandbox;
use gantry_model::state::{Move, State};
use gantry_model::supervisor::{Exit, Recovered, Supervisor, TaskRecord, TaskState};
use gantry_model::{ContainerId, Result, SandboxId};

use crate::change::Item;
use crate::effect::{self, network};
use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::owner::{Key, Live, Message, policy};

/// How long a supervisor that was never committed may take to end by itself.
const UNCOMMITTED: Duration = Duration::from_secs(10);

/// A live supervisor: its owner gets it, and its containers' records are brought up to what it says. Exits that
/// happened meanwhile come as its events.
pub(super) async fn adopt(inner: &Arc<Inner>, sandbox: &Sandbox, one: Recovered) -> Result<()> {
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
    // What its networks gave it was never written down: they have taken it back already.
    let cut_off = {
        let tables = inner.ledger.read();
        let mut endpoints = tables.endpoints.values();
        endpoints.any(|endpoint| endpoint.sandbox == sandbox.id && !endpoint.joined)
    };
    let half_made =
        sandbox.state == State::Created && (sandbox.pod.is_some() || !let_go || cut_off);
    // Half made: the answer was never given; the caller will ask again and is better off with a whole one.
    // Over: the exit was recorded, but the daemon was killed before it had freed what the run held. The supervisor
    // will not tell that exit again.
    if half_made || is_over(inner, sandbox) {
        return bury(inner, sandbox, None, Some(handle)).await;
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
        if let Some((record, action)) = caught_up(inner, task) {
            change = change
                .container_event(action, &record, &[])
                .container(record);
        }
    }
    for container in runs_in(inner, &sandbox.id) {
        let task = one.tasks.iter().find(|task| task.id == container.id);
        if task.is_none_or(|task| task.state == TaskState::Created) && !container.state.is_live() {
            let owner = inner.owner(&key);
            let _ = owner.send(Message::Freeing {
                id: container.id.clone(),
            });
            let undo = undo_start(Arc::clone(inner), Arc::clone(&handle), container.id.clone());
            tokio::spawn(async move {
                let id = undo.await;
                let _ = owner.send(Message::Settled { id });
            });
            change = ended(inner, change, &container, &[]);
        }
    }
    inner.ledger.write(change).await?;
    let _ = inner.owner(&key).send(Message::Up(Live {
        id: sandbox.id.clone(),
        handle,
        events,
    }));
    for container in runs_in(inner, &sandbox.id) {
        // Beside the doors: what is shown of its health until then is what was known before.
        let inner = Arc::clone(inner);
        tokio::spawn(async move { inner.begin_watching(&container.id).await });
    }
    Ok(())
}

/// Undoes a start in a pod that was cut off before it was let go. Beside the doors: a supervisor may take its time.
async fn undo_start(
    inner: Arc<Inner>,
    handle: Arc<dyn Supervisor>,
    id: ContainerId,
) -> ContainerId {
    if let Err(error) = handle.delete(&inner.call(DRIVER_TIMEOUT), &id).await
        && error.kind != gantry_model::ErrorKind::NotFound
    {
        tracing::warn!(container = %id, %error, "undoing a start that was cut off");
    }
    id
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

/// The record of a container of which the supervisor has done more than was written down: let go, frozen or thawed.
/// With it the event that was not told.
fn caught_up(inner: &Inner, task: &TaskRecord) -> Option<(Container, &'static str)> {
    let container = inner.container(&task.id).ok()?;
    let run = container.run.as_ref()?;
    if run.number != task.run || run.exit.is_some() {
        return None;
    }
    let mut record = (*container).clone();
    let (what, action) = match (container.state, task.state) {
        (_, TaskState::Created) => return None,
        (State::Running, TaskState::Paused) => (Move::Paused, "pause"),
        (State::Paused, TaskState::Running) => (Move::Resumed, "unpause"),
        (state, _) if state.is_live() => return None,
        _ => (Move::Started, "start"),
    };
    record.state = record.state.after(what).ok()?;
    if let (Some(run), Move::Started) = (&mut record.run, what) {
        run.started_at = task.started_at;
        run.pid = task.pid;
    }
    Some((record, action))
}

/// No supervisor lives, or one that is to end: every run in the sandbox has ended, and what it held is freed.
pub(super) async fn bury(
    inner: &Arc<Inner>,
    sandbox: &Sandbox,
    one: Option<Recovered>,
    last: Option<Arc<dyn Supervisor>>,
) -> Result<()> {
    let tasks: Vec<TaskRecord> = match &one {
        Some(one) if !one.stale => one.tasks.clone(),
        _ => Vec::new(),
    };
    let mut change = inner.change();
    for container in runs_in(inner, &sandbox.id) {
        change = ended(inner, change, &container, &tasks);
    }
    // A pod nobody was told of is gone altogether; others stay until they are removed.
    let forget = sandbox.pod.is_none() || sandbox.state == State::Created;
    let mut down = sandbox.clone();
    // One that is to be forgotten stays as it was until then: if this daemon is killed first, the next one has to know.
    if sandbox.pod.is_none() || !forget {
        down.state = State::Exited;
    }
    if sandbox.state == State::Running {
        "its supervisor is gone".clone_into(&mut down.reason);
    }
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
    tokio::spawn(async move {
        if let Some(handle) = last
            && let Err(error) = handle.shutdown(&inner.call(DRIVER_TIMEOUT)).await
        {
            tracing::warn!(sandbox = %sandbox.id, %error, "ending the supervisor of a sandbox without a run");
        }
        free(&inner, &sandbox, &containers, forget).await;
    });
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
            if record.restart.by_policy {
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

/// One that was never committed ends by itself as soon as it has seen its birth pipe close.
pub(super) async fn discard_when_dead(inner: &Arc<Inner>, id: &SandboxId, cgroup: &str) {
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
