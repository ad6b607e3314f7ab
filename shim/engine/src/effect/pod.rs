//! Pods: made with their network, stopped with all they hold, removed with their containers.

use std::sync::Arc;

use gantry_model::call::Call;
use gantry_model::event::Subject;
use gantry_model::network::Endpoint;
use gantry_model::operation::OperationKind;
use gantry_model::sandbox::{PodSpec, Sandbox};
use gantry_model::state::{Move, State};
use gantry_model::supervisor::SandboxLaunch;
use gantry_model::{ContainerId, Error, Result, SandboxId};

use super::{Context, config, files, network, stop};
use crate::RemoveContainer;
use crate::change::{Change, Item};
use crate::inner::Inner;
use crate::owner::{Key, Live, Message};
use crate::signal::SIGKILL;

/// Makes the sandbox whose record (state `Created`) and endpoints are written already.
pub(crate) async fn start(context: &Context) -> Result<()> {
    let inner = &context.inner;
    let sandbox = of(context)?;
    let pod = sandbox.pod.clone().unwrap_or_default();
    let (operation, call) = context.operation(OperationKind::RunSandbox, sandbox.id.as_str());
    inner
        .ledger
        .write(inner.change().with(Item::Operation(operation.clone())))
        .await?;
    let launch = launch(&sandbox, &pod);
    let endpoints = endpoints_of(inner, &sandbox.id);
    let result = bring_up(context, &call, &launch, &sandbox, &pod, endpoints).await;
    let result = match result {
        Ok((up, endpoints)) => {
            let mut change =
                event(inner, "start", &up).with(Item::NoOperation(operation.id.clone()));
            for endpoint in endpoints {
                change = change.with(Item::Endpoint(endpoint));
            }
            inner.ledger.write(change.sandbox(up)).await
        }
        Err(error) => Err(error),
    };
    let Err(error) = result else { return Ok(()) };
    // A call of its own: the first one may be cancelled, undoing must not be.
    free(context, &inner.call(super::TIMEOUT), &sandbox).await;
    gantry_fault::pass("engine.pod.after-undo");
    inner
        .host
        .remove_dir(&inner.container_dir(sandbox.id.as_str()))
        .await?;
    let change = inner.change().with(Item::NoSandbox(sandbox.id.clone()));
    inner
        .ledger
        .write(change.with(Item::NoOperation(operation.id.clone())))
        .await?;
    Err(error)
}

async fn bring_up(
    context: &Context,
    call: &Call,
    launch: &SandboxLaunch,
    sandbox: &Sandbox,
    pod: &PodSpec,
    endpoints: Vec<Endpoint>,
) -> Result<(Sandbox, Vec<Endpoint>)> {
    let inner = &context.inner;
    inner.waits(call, "its supervisor");
    let (handle, events) = inner.supervisors.spawn(call, launch).await?;
    // From here on the owner has it, so that undoing finds it.
    let live = Live {
        id: sandbox.id.clone(),
        handle: Arc::clone(&handle),
        events,
    };
    let _ = context.owner.send(Message::Up(live));
    let result = async {
        gantry_fault::point("engine.pod.after-supervisor")?;
        let endpoints = network::join_all(inner, call, endpoints, handle.as_ref()).await?;
        call.cancel.check()?;
        gantry_fault::point("engine.pod.after-network")?;
        let mut up = sandbox.clone();
        up.addresses = network::addresses(&endpoints);
        let dir = inner.container_dir(sandbox.id.as_str());
        up.files = files::write_for_pod(inner, pod, &launch.hostname, &dir, &up.addresses).await?;
        up.state = State::Running;
        gantry_fault::point("engine.pod.before-commit")?;
        handle.commit(call).await?;
        gantry_fault::point("engine.pod.after-commit")?;
        Ok((up, endpoints))
    }
    .await;
    if result.is_err() {
        // Told first: its end is ours and no accident.
        let _ = context.owner.send(Message::Down);
        if let Err(error) = handle.shutdown(&inner.call(super::TIMEOUT)).await {
            tracing::warn!(sandbox = %sandbox.id, %error, "ending the supervisor of a pod that was not made");
        }
    }
    result
}

fn launch(sandbox: &Sandbox, pod: &PodSpec) -> SandboxLaunch {
    SandboxLaunch {
        id: sandbox.id.clone(),
        hostname: config::pod_hostname(pod),
        domainname: String::new(),
        network: pod.network,
        ipc: pod.ipc,
        uts: config::uts_of(pod.network),
        pid: pod.pid,
        sysctls: pod.sysctls.clone(),
        cgroup: sandbox.cgroup.clone(),
    }
}

/// Kills what runs in it and frees what it holds; the record stays.
pub(crate) async fn stop(context: &Context) -> Result<()> {
    let inner = &context.inner;
    let sandbox = of(context)?;
    if sandbox.state == State::Exited {
        return Ok(());
    }
    let (operation, call) = context.operation(OperationKind::StopSandbox, sandbox.id.as_str());
    inner
        .ledger
        .write(inner.change().with(Item::Operation(operation.clone())))
        .await?;
    if let Some(handle) = &context.handle {
        for container in inner.containers_of(&sandbox.id) {
            if container.state.is_live() {
                let killed = handle.kill(&call, &container.id, SIGKILL, true).await;
                if let Err(error) = stop::gone_is_fine(inner, &container.id, killed).await {
                    inner.end(&operation).await?;
                    return Err(error);
                }
                stop::wait_settled(inner, &container.id).await?;
            }
        }
    }
    gantry_fault::pass("engine.pod.before-free");
    free(context, &call, &sandbox).await;
    gantry_fault::pass("engine.pod.after-free");
    let mut down = (*sandbox).clone();
    down.state = down.state.after(Move::Exited).unwrap_or(State::Exited);
    let change = event(inner, "stop", &down)
        .sandbox(down)
        .with(Item::NoOperation(operation.id.clone()));
    inner.ledger.write(change).await
}

/// Frees network, supervisor and cgroups.
async fn free(context: &Context, call: &Call, sandbox: &Sandbox) {
    let inner = &context.inner;
    network::leave_all(inner, call, &sandbox.id).await;
    inner.waits(call, "its supervisor to end what runs in it");
    let _ = context.owner.send(Message::Down);
    if let Some(handle) = &context.handle
        && let Err(error) = handle.shutdown(call).await
    {
        tracing::warn!(sandbox = %sandbox.id, %error, "ending a supervisor");
    }
    inner.waits(call, "its cgroups to be emptied and removed");
    super::finish::discard(inner, call, &sandbox.id, &sandbox.cgroup).await;
}

/// Stops it if need be; containers, files and record go.
pub(crate) async fn remove(context: &Context) -> Result<()> {
    let inner = &context.inner;
    stop(context).await?;
    let sandbox = of(context)?;
    let (operation, call) = context.operation(OperationKind::RemoveSandbox, sandbox.id.as_str());
    inner
        .ledger
        .write(inner.change().with(Item::Operation(operation.clone())))
        .await?;
    let how = RemoveContainer {
        force: true,
        volumes: true,
    };
    for container in inner.containers_of(&sandbox.id) {
        // A supervisor that died may have left it mounted until now.
        stop::wait_settled(inner, &container.id).await?;
        let context = Context {
            inner: Arc::clone(inner),
            key: context.key.clone(),
            owner: context.owner.clone(),
            handle: None,
            patience: context.patience.clone(),
            pending: Arc::clone(&context.pending),
            cancel: context.cancel.clone(),
        };
        super::remove::run(&context, &container.id, how).await?;
    }
    inner
        .host
        .remove_dir(&inner.container_dir(sandbox.id.as_str()))
        .await?;
    super::finish::discard(inner, &call, &sandbox.id, &sandbox.cgroup).await;
    gantry_fault::pass("engine.pod.before-forgotten");
    let change = event(inner, "remove", &sandbox).with(Item::NoSandbox(sandbox.id.clone()));
    inner
        .ledger
        .write(change.with(Item::NoOperation(operation.id.clone())))
        .await
}

/// A pod whose supervisor died is not ready, says why, and holds nothing.
pub(crate) async fn lost(inner: &Arc<Inner>, id: &SandboxId) {
    let Ok(sandbox) = inner.sandbox(id) else {
        return;
    };
    if sandbox.state != State::Running {
        return;
    }
    let runs: Vec<ContainerId> = inner
        .containers_of(id)
        .iter()
        .map(|container| container.id.clone())
        .collect();
    for container in runs {
        if let Err(error) = stop::wait_settled(inner, &container).await {
            tracing::error!(%container, %error, "waiting for a container whose supervisor died");
        }
    }
    let call = inner.call(super::TIMEOUT);
    network::leave_all(inner, &call, id).await;
    super::finish::discard(inner, &call, id, &sandbox.cgroup).await;
    let mut down = (*sandbox).clone();
    down.state = State::Exited;
    "its supervisor died".clone_into(&mut down.reason);
    let change = event(inner, "die", &down).sandbox(down);
    if let Err(error) = inner.ledger.write(change).await {
        tracing::error!(sandbox = %id, %error, "recording that a pod's supervisor died");
    }
}

fn of(context: &Context) -> Result<Arc<Sandbox>> {
    match &context.key {
        Key::Pod(id) => context.inner.sandbox(id),
        Key::Container(id) => Err(Error::internal(format!("container {id} is no pod"))),
    }
}

fn endpoints_of(inner: &Inner, id: &SandboxId) -> Vec<Endpoint> {
    let tables = inner.ledger.read();
    tables
        .endpoints
        .values()
        .filter(|endpoint| endpoint.sandbox == *id)
        .map(|e| (**e).clone())
        .collect()
}

fn event(inner: &Inner, action: &str, sandbox: &Sandbox) -> Change {
    let mut attributes = std::collections::BTreeMap::new();
    if let Some(pod) = &sandbox.pod {
        attributes.insert("name".to_owned(), pod.metadata.name.clone());
        attributes.insert("namespace".to_owned(), pod.metadata.namespace.clone());
    }
    inner.change().event(
        Subject::Sandbox,
        action,
        sandbox.id.as_str(),
        Some(sandbox.origin),
        attributes,
    )
}
