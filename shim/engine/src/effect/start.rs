//! Starting a run: intent → supervisor, network, volumes, root file system → made and blocked → attached → go.

use std::sync::Arc;

use gantry_model::call::Call;
use gantry_model::container::{Container, Run};
use gantry_model::mount::MountDescription;
use gantry_model::network::Endpoint;
use gantry_model::operation::OperationKind;
use gantry_model::policy::RestartState;
use gantry_model::sandbox::{Sandbox, SandboxFiles};
use gantry_model::state::{Move, State};
use gantry_model::supervisor::{
    ContainerLaunch, Exit, LogSink, NamespaceMode, PidMode, SandboxLaunch, Supervisor, Target,
};
use gantry_model::{ContainerId, EndpointId, Error, ErrorKind, Result, SandboxId, Timestamp};
use tracing::Instrument;

use super::{Context, config, files, network, volume};
use crate::change::{Change, Item};
use crate::handler;
use crate::inner::{DRIVER_TIMEOUT, lock};
use crate::owner::{Live, Message, policy};

/// Who asks for a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A user: restarts are counted from here.
    User,
    /// A restart policy.
    Policy,
}

pub(crate) async fn run(context: &Context, id: &ContainerId, by: By) -> Result<()> {
    let container = context.inner.container(id)?;
    if container.state.is_live() {
        return Err(Error::not_modified(format!(
            "container {id} is running already"
        )));
    }
    container.state.after(Move::Started).map_err(|refused| {
        Error::conflict(format!("container {id} cannot be started: {refused}"))
    })?;
    let span = tracing::info_span!("start", container = id.short());
    match &container.pod {
        Some(pod) => in_pod(context, &container, pod).instrument(span).await,
        None => alone(context, &container, by).instrument(span).await,
    }
}

/// A stand-alone container: its sandbox is made anew for this run.
async fn alone(context: &Context, container: &Container, by: By) -> Result<()> {
    let inner = &context.inner;
    let (operation, call) = context.operation(OperationKind::StartContainer, container.id.as_str());
    let (sandbox, endpoints) = plan(context, container)?;
    let mut record = with_new_run(container, sandbox.id.clone());
    let mut intent = inner
        .change()
        .container(record.clone())
        .sandbox(sandbox.clone());
    for endpoint in &endpoints {
        intent = intent.with(Item::Endpoint(endpoint.clone()));
    }
    intent = intent.amend(&container.id, move |record| match by {
        By::User => record.restart = RestartState::default(),
        By::Policy => {
            record.restart = RestartState {
                due: None,
                stopped_by_user: false,
                by_policy: true,
                ..record.restart
            }
        }
    });
    inner
        .ledger
        .write(intent.with(Item::Operation(operation.clone())))
        .await?;
    gantry_fault::pass("engine.start.after-intent");

    let mut undo = Undo {
        sandbox: &sandbox,
        handle: None,
    };
    let result = match bring_up(context, &call, &mut record, &sandbox, endpoints, &mut undo).await {
        Ok((started_at, endpoints)) => {
            let done = Item::NoOperation(operation.id.clone());
            let record = running(record.clone(), started_at);
            record_start(context, record, &sandbox, endpoints, done).await
        }
        Err(error) => Err(error),
    };
    let Err(error) = result else {
        inner.begin_watching(&container.id).await;
        return Ok(());
    };
    let _ = context.owner.send(Message::Down);
    // A call of its own: the first one may be cancelled, undoing must not be.
    let undoing = inner.call(DRIVER_TIMEOUT);
    undo.run(context, &undoing).await;
    let mine = |_: &str, holder: &ContainerId| *holder == container.id;
    if let Err(error) = volume::let_go(inner, &undoing, mine).await {
        // Held on: asked again when the container or the volume is removed.
        tracing::warn!(container = %container.id, %error, "letting go of the volumes of a failed start");
    }
    gantry_fault::pass("engine.start.after-undo");
    let change = failed_change(context, record, &error, by)
        .with(Item::NoOperation(operation.id.clone()))
        .with(Item::NoSandbox(sandbox.id.clone()));
    inner.ledger.write(change).await?;
    Err(error)
}

/// Writes down that it runs.
async fn record_start(
    context: &Context,
    record: Container,
    sandbox: &Sandbox,
    endpoints: Vec<Endpoint>,
    done: Item,
) -> Result<()> {
    let inner = &context.inner;
    let mut up = sandbox.clone();
    up.state = State::Running;
    up.addresses = network::addresses(&endpoints);
    let mut change = inner.change();
    for endpoint in endpoints {
        let name = network::name_of(inner, &endpoint);
        change = network::event(change, "connect", &endpoint, &name, &record);
        change = change.with(Item::Endpoint(endpoint));
    }
    let change = change
        .container_event("start", &record, &[])
        .container(record)
        .sandbox(up);
    gantry_fault::point("engine.start.before-recorded")?;
    inner.ledger.write(change.with(done)).await
}

/// What must go again when a start fails.
struct Undo<'a> {
    sandbox: &'a Sandbox,
    handle: Option<Arc<dyn Supervisor>>,
}

impl Undo<'_> {
    async fn run(&self, context: &Context, call: &Call) {
        network::leave_all(&context.inner, call, &self.sandbox.id).await;
        if let Some(handle) = &self.handle
            && let Err(error) = handle.shutdown(call).await
        {
            tracing::warn!(sandbox = %self.sandbox.id, %error, "ending the supervisor of a failed start");
        }
        super::finish::discard(&context.inner, call, &self.sandbox.id, &self.sandbox.cgroup).await;
    }
}

async fn bring_up(
    context: &Context,
    call: &Call,
    record: &mut Container,
    sandbox: &Sandbox,
    endpoints: Vec<Endpoint>,
    undo: &mut Undo<'_>,
) -> Result<(Timestamp, Vec<Endpoint>)> {
    let inner = &context.inner;
    let launch = launch_of(record, sandbox);
    inner.waits(call, "its supervisor, root file system and volumes");
    let spawned = async { inner.supervisors.spawn(call, &launch).await }
        .instrument(tracing::info_span!("supervisor"));
    let prepared = prepare(context, call, record).instrument(tracing::info_span!("prepare"));
    let (spawned, prepared) = tokio::join!(spawned, prepared);
    let (handle, events) = spawned?;
    undo.handle = Some(Arc::clone(&handle));
    gantry_fault::point("engine.start.after-supervisor")?;
    let prepared = prepared?;
    call.cancel.check()?;
    let joined = network::join_all(inner, call, endpoints, handle.as_ref())
        .instrument(tracing::info_span!("network"))
        .await?;
    gantry_fault::point("engine.start.after-network")?;
    let facts = config::Facts::of_container(record);
    let binds = files::write_for_container(inner, record, &joined).await?;
    gantry_fault::point("engine.start.after-files")?;
    let live = Live {
        id: sandbox.id.clone(),
        handle: Arc::clone(&handle),
        events,
    };
    let made = Made {
        prepared,
        binds,
        facts,
        cgroup: format!("{}/{}", sandbox.cgroup, record.id.short()),
    };
    let pid = create(context, call, record, made, handle.as_ref()).await?;
    set_pid(record, pid);
    // The last moment at which nothing of the container has run yet.
    call.cancel.check()?;
    gantry_fault::point("engine.start.before-commit")?;
    handle.commit(call).await?;
    gantry_fault::point("engine.start.after-commit")?;
    let _ = context.owner.send(Message::Up(live));
    inner.waits(call, "the container's program to be executed");
    let started_at = handle
        .start(call, &record.id)
        .instrument(tracing::info_span!("go"))
        .await?;
    gantry_fault::point("engine.start.after-go")?;
    Ok((started_at, joined))
}

/// A container of a pod: the sandbox is there.
async fn in_pod(context: &Context, container: &Container, pod: &SandboxId) -> Result<()> {
    let inner = &context.inner;
    let sandbox = inner.sandbox(pod)?;
    let not_ready = || Error::failed_precondition(format!("pod sandbox {pod} is not ready"));
    let handle = context.handle.clone().ok_or_else(not_ready)?;
    if sandbox.state != State::Running {
        return Err(not_ready());
    }
    let (operation, call) = context.operation(OperationKind::StartContainer, container.id.as_str());
    let mut record = with_new_run(container, pod.clone());
    let intent = inner
        .change()
        .container(record.clone())
        .with(Item::Operation(operation.clone()));
    inner.ledger.write(intent).await?;
    let result = async {
        let prepared = prepare(context, &call, &mut record).await?;
        let facts = config::Facts::of_pod(&sandbox);
        let binds = files::of_pod(&sandbox);
        let made = Made {
            prepared,
            binds,
            facts,
            cgroup: format!("{}/{}", sandbox.cgroup, record.id.short()),
        };
        let pid = create(context, &call, &record, made, handle.as_ref()).await?;
        set_pid(&mut record, pid);
        call.cancel.check()?;
        gantry_fault::point("engine.start.before-pod-go")?;
        let started_at = handle.start(&call, &record.id).await?;
        gantry_fault::point("engine.start.after-pod-go")?;
        Ok(started_at)
    }
    .await;
    let result = match result {
        Ok(started_at) => {
            let record = running(record.clone(), started_at);
            let change = inner
                .change()
                .container_event("start", &record, &[])
                .container(record);
            inner
                .ledger
                .write(change.with(Item::NoOperation(operation.id.clone())))
                .await
        }
        Err(error) => Err(error),
    };
    let Err(error) = result else {
        inner.begin_watching(&container.id).await;
        return Ok(());
    };
    let call = inner.call(DRIVER_TIMEOUT);
    if let Err(delete) = handle.delete(&call, &record.id).await
        && delete.kind != ErrorKind::NotFound
    {
        tracing::warn!(container = %record.id, error = %delete, "clearing away a failed start");
    }
    volume::release(inner, &call, &record).await;
    gantry_fault::pass("engine.start.after-pod-undo");
    let change = failed_change(context, record, &error, By::User)
        .with(Item::NoOperation(operation.id.clone()));
    inner.ledger.write(change).await?;
    Err(error)
}

/// Root file system and volumes, described and ready to be mounted.
struct Prepared {
    rootfs: Vec<MountDescription>,
    volumes: Vec<gantry_spec::Bind>,
    image: Arc<gantry_model::image::ImageDetails>,
}

struct Made {
    prepared: Prepared,
    binds: Vec<gantry_spec::Bind>,
    facts: config::Facts,
    cgroup: String,
}

async fn prepare(context: &Context, call: &Call, record: &mut Container) -> Result<Prepared> {
    let inner = &context.inner;
    let image = inner.images.details(&record.image).await?;
    let snapshotter = inner.drivers.snapshotter(&record.snapshotter)?;
    let mut rootfs = snapshotter.mounts(call, record.id.as_str()).await?;
    gantry_fault::point("engine.start.after-mounts")?;
    let volumes = volume::mount_all(inner, call, record, &rootfs).await?;
    if record.spec.auto_remove {
        // Its layer dies with the run: writing it out at the unmount would only make the exit wait for the disk.
        for mount in rootfs.iter_mut().filter(|mount| mount.kind == "overlay") {
            mount.options.push("volatile".to_owned());
        }
    }
    Ok(Prepared {
        rootfs,
        volumes,
        image,
    })
}

async fn create(
    context: &Context,
    call: &Call,
    record: &Container,
    made: Made,
    handle: &dyn Supervisor,
) -> Result<i32> {
    // Files first: a volume the user puts over /etc/hosts wins.
    let mut binds = made.binds;
    binds.extend(made.prepared.volumes);
    let image = &made.prepared.image.config;
    let config = config::build(&context.inner, record, image, &made.facts, &binds)?;
    let launch = ContainerLaunch {
        id: record.id.clone(),
        run: record.run.as_ref().map_or(1, |run| run.number),
        config,
        rootfs: made.prepared.rootfs,
        rootfs_readonly: record.spec.security.read_only_rootfs,
        terminal: record.spec.process.terminal,
        stdin: record.spec.process.stdin,
        stdin_once: record.spec.process.stdin_once,
        cgroup: made.cgroup,
        log: record.log.clone(),
        runtime: handler::runtime(&context.inner.config, &record.spec.handler)?,
    };
    if let LogSink::Cri { path } = &record.log
        && let Some((folder, _)) = path.rsplit_once('/')
    {
        context.inner.host.make_dir(folder, 0o755).await?;
    }
    context
        .inner
        .waits(call, "its supervisor to make the container");
    let pid = handle
        .create(call, &launch)
        .instrument(tracing::info_span!("create"))
        .await?;
    gantry_fault::point("engine.start.after-create")?;
    let waiting = std::mem::take(&mut *lock(&context.pending));
    for waiter in waiting {
        let target = Target::Container(record.id.clone());
        let _ = waiter
            .reply
            .send(handle.attach(call, &target, waiter.streams).await);
    }
    Ok(pid)
}

fn set_pid(record: &mut Container, pid: i32) {
    if let Some(run) = &mut record.run {
        run.pid = pid;
    }
}

/// Sandbox and endpoints of the next run, not yet made.
fn plan(context: &Context, container: &Container) -> Result<(Sandbox, Vec<Endpoint>)> {
    let inner = &context.inner;
    let id = SandboxId::from_random(inner.host.random());
    let attachment = &container.spec.network;
    if attachment.host {
        // There is no namespace to join, but whether a network can be had is its driver's library being there.
        inner.drivers.network("host")?;
    }
    let mut endpoints = Vec::new();
    for spec in &attachment.endpoints {
        let network = network::find(inner, &spec.network)?;
        // One that does not serve is told now: what was not begun cannot wait for it to be taken back.
        inner.drivers.network(&network.spec.driver)?;
        endpoints.push(Endpoint {
            id: EndpointId::from_random(inner.host.random()),
            network: network.id.clone(),
            sandbox: id.clone(),
            spec: spec.clone(),
            // Ports are published on the first network, the one with the default route.
            ports: if endpoints.is_empty() {
                attachment.ports.clone()
            } else {
                Vec::new()
            },
            interfaces: Vec::new(),
            joined: false,
            state: Default::default(),
        });
    }
    let parent = config::cgroup_parent(inner, &container.spec.cgroup_parent);
    let sandbox = Sandbox {
        cgroup: format!("{parent}/{}", id.short()),
        id,
        origin: container.origin,
        pod: None,
        container: Some(container.id.clone()),
        created_at: inner.now(),
        state: State::Created,
        network: if attachment.host {
            NamespaceMode::Host
        } else {
            NamespaceMode::Own
        },
        endpoints: endpoints
            .iter()
            .map(|endpoint| endpoint.id.clone())
            .collect(),
        addresses: Vec::new(),
        files: SandboxFiles::default(),
        reason: String::new(),
    };
    Ok((sandbox, endpoints))
}

fn launch_of(container: &Container, sandbox: &Sandbox) -> SandboxLaunch {
    let spec = &container.spec;
    let mode = |host: bool| {
        if host {
            NamespaceMode::Host
        } else {
            NamespaceMode::Own
        }
    };
    SandboxLaunch {
        id: sandbox.id.clone(),
        hostname: if spec.host_uts {
            String::new()
        } else {
            config::hostname(container)
        },
        domainname: spec.domainname.clone(),
        network: sandbox.network,
        ipc: mode(spec.host_ipc),
        uts: mode(spec.host_uts),
        pid: if spec.host_pid {
            PidMode::Host
        } else {
            PidMode::Container
        },
        sysctls: spec.sysctls.clone(),
        cgroup: sandbox.cgroup.clone(),
    }
}

fn with_new_run(container: &Container, sandbox: SandboxId) -> Container {
    let number = container.run.as_ref().map_or(0, |run| run.number) + 1;
    let mut record = container.clone();
    record.run = Some(Run {
        number,
        sandbox,
        pid: 0,
        started_at: Timestamp(0),
        exit: None,
        error: String::new(),
        stopped_by_user: false,
        previous: container.last_exit().cloned(),
    });
    record
}

fn running(mut record: Container, started_at: Timestamp) -> Container {
    record.state = State::Running;
    if let Some(run) = &mut record.run {
        run.started_at = started_at;
    }
    record
}

/// How a failed start is recorded: as the end of a run that never was.
fn failed_change(context: &Context, record: Container, error: &Error, by: By) -> Change {
    let code = match error.kind {
        ErrorKind::CommandNotFound => 127,
        ErrorKind::CommandNotExecutable => 126,
        _ => 128,
    };
    let mut record = record;
    let at = context.inner.now();
    if let Some(run) = &mut record.run {
        run.exit = Some(Exit {
            code,
            at,
            ..Exit::default()
        });
        run.pid = 0;
        run.error.clone_from(&error.message);
    }
    let id = record.id.clone();
    context
        .inner
        .change()
        .container(record)
        .amend(&id, move |record| {
            if by == By::Policy {
                record.restart = policy::after(record, policy::Cause::NotStarted, at);
            }
        })
}
