//! Making a container: image claimed, name taken, record written, writable layer and volumes made.

use std::collections::BTreeSet;
use std::sync::Arc;

use gantry_model::container::{Container, ContainerSpec, LogSpec, VolumeUse};
use gantry_model::image::{ImageDetails, Origin};
use gantry_model::mount::MountSource;
use gantry_model::operation::OperationKind;
use gantry_model::sandbox::Sandbox;
use gantry_model::state::State;
use gantry_model::supervisor::LogSink;
use gantry_model::{ContainerId, Error, Result};

use super::{config, volume};
use crate::change::Item;
use crate::inner::{DRIVER_TIMEOUT, Inner};
use crate::{CreateContainer, CreateVolume, names, validate};

pub(crate) async fn run(inner: &Arc<Inner>, request: CreateContainer) -> Result<ContainerId> {
    let _content = inner.use_content().await;
    let (image_name, details) = crate::api::image::resolve(inner, &request.spec.image).await?;
    validate::container(&inner.config, &request.spec, &details)?;
    let pod = match &request.pod {
        Some(pod) => Some(ready_pod(inner, pod)?),
        None => None,
    };
    check_sources(inner, &request.spec).await?;
    let id = ContainerId::from_random(inner.host.random());
    let name = if request.name.is_empty() {
        free_name(inner, request.origin)
    } else {
        request.name.clone()
    };
    let _name = match take_name(inner, &request, &name).await? {
        Name::Taken(reservation) => reservation,
        Name::Joined(id) => {
            return Ok(id);
        }
    };
    let record = record(
        inner,
        &request,
        id,
        name,
        image_name,
        &details,
        pod.as_deref(),
    );

    // Everything it will be made of is checked before anything is made.
    let facts = pod.as_deref().map_or_else(
        || config::Facts::of_container(&record),
        config::Facts::of_pod,
    );
    config::build(inner, &record, &details.config, &facts, &[])?;

    let (operation, call) = inner.operation(
        OperationKind::CreateContainer,
        record.id.as_str(),
        DRIVER_TIMEOUT,
    );
    let intent = inner
        .change()
        .container(record.clone())
        .with(Item::Operation(operation.clone()));
    inner.ledger.write(intent).await?;
    gantry_fault::pass("engine.create.after-intent");
    match make(inner, &call, record.clone(), &details).await {
        Ok(record) => {
            gantry_fault::pass("engine.create.before-recorded");
            let change = inner.change().container_event("create", &record, &[]);
            let id = record.id.clone();
            let change = change
                .container(record)
                .with(Item::NoOperation(operation.id.clone()));
            inner.ledger.write(change).await?;
            Ok(id)
        }
        Err(error) => {
            // A call of its own: the first one may be cancelled, undoing must not be.
            let call = inner.call(DRIVER_TIMEOUT);
            let undone = match super::remove::unmake(inner, &call, &record).await {
                Ok(()) => super::remove::remove_volumes(inner, &record).await,
                failed => failed,
            };
            if let Err(undo) = undone {
                // Its intent stays in the records: taken up again with the plugin's late answer, or at the next start.
                tracing::warn!(container = %record.id, error = %undo, "unmaking a container that was not made");
                let going = Container {
                    state: State::Removing,
                    goes_with_volumes: true,
                    ..record
                };
                inner.ledger.write(inner.change().container(going)).await?;
                return Err(error);
            }
            gantry_fault::pass("engine.create.after-undo");
            let change = inner
                .change()
                .with(Item::NoContainer(record.id))
                .with(Item::NoOperation(operation.id.clone()));
            inner.ledger.write(change).await?;
            Err(error)
        }
    }
}

async fn make(
    inner: &Arc<Inner>,
    call: &gantry_model::call::Call,
    mut record: Container,
    details: &ImageDetails,
) -> Result<Container> {
    inner.waits(call, "the image to be unpacked");
    inner
        .images
        .ensure_unpacked(call, &record.image, &record.snapshotter)
        .await?;
    let snapshotter = inner.drivers.snapshotter(&record.snapshotter)?;
    let parent = (!details.chain_id.is_empty()).then_some(details.chain_id.as_str());
    inner.waits(call, format!("snapshotter {}: prepare", record.snapshotter));
    gantry_fault::point("engine.create.before-snapshot")?;
    snapshotter
        .prepare(call, record.id.as_str(), parent)
        .await?;
    gantry_fault::point("engine.create.after-snapshot")?;
    inner
        .host
        .make_dir(&inner.container_dir(record.id.as_str()), 0o711)
        .await?;
    let specs = record.spec.mounts.clone();
    for used in &mut record.volumes {
        let asked = specs.iter().find(|mount| mount.target == used.target);
        let options = match asked.map(|mount| &mount.source) {
            Some(MountSource::Volume { options, .. }) => options.clone(),
            _ => Default::default(),
        };
        let request = CreateVolume {
            name: used.name.clone(),
            driver: used.driver.clone(),
            options,
            ..CreateVolume::default()
        };
        inner.waits(call, format!("volume {}", used.name));
        used.mountpoint = volume::ensure(inner, &request, used.anonymous)
            .await?
            .mountpoint
            .clone();
        gantry_fault::point("engine.create.after-volume")?;
    }
    Ok(record)
}

fn ready_pod(inner: &Inner, id: &gantry_model::SandboxId) -> Result<Arc<Sandbox>> {
    let sandbox = inner.sandbox(id)?;
    if sandbox.state == State::Running {
        Ok(sandbox)
    } else {
        Err(Error::failed_precondition(format!(
            "pod sandbox {id} is not ready"
        )))
    }
}

/// A `--mount type=bind` of something that is not there is refused now and not at the start.
async fn check_sources(inner: &Inner, spec: &ContainerSpec) -> Result<()> {
    for mount in &spec.mounts {
        if let MountSource::Bind {
            path,
            create: false,
        } = &mount.source
            && !inner.host.exists(path).await
        {
            return Err(volume::missing_source(path));
        }
    }
    Ok(())
}

enum Name {
    Taken(crate::inner::Reservation),
    /// A retry of the same request: the container it made.
    Joined(ContainerId),
}

/// CRI's creates wait for each other and a retry joins; Docker's never do.
async fn take_name(inner: &Arc<Inner>, request: &CreateContainer, name: &str) -> Result<Name> {
    let key = format!("container {:?} {name}", request.origin);
    let reservation = match &request.cri {
        Some(_) => inner.reserve_in_turn(&key).await,
        None => inner.reserve(key).ok_or_else(|| {
            Error::already_exists(format!(
                "the container name \"{name}\" is being taken by another request"
            ))
        })?,
    };
    let Some(id) = inner.named(request.origin, name) else {
        return Ok(Name::Taken(reservation));
    };
    let existing = inner.container(&id)?;
    let same = existing.spec == request.spec
        && existing.pod == request.pod
        && existing.state != State::Removing;
    if request.cri.is_some() && same {
        return Ok(Name::Joined(id));
    }
    Err(Error::already_exists(format!(
        "the container name \"{name}\" is already in use by container \"{id}\""
    )))
}

fn free_name(inner: &Inner, origin: Origin) -> String {
    loop {
        let name = names::from_random(&inner.host.random());
        if inner.named(origin, &name).is_none() {
            return name;
        }
    }
}

fn record(
    inner: &Inner,
    request: &CreateContainer,
    id: ContainerId,
    name: String,
    image_name: String,
    details: &ImageDetails,
    pod: Option<&Sandbox>,
) -> Container {
    let dir = inner.container_dir(id.as_str());
    let (log_path, log) = log_of(&request.spec.log, &dir, &id);
    let own = |file: &str| {
        if pod.is_some() {
            String::new()
        } else {
            format!("{dir}/{file}")
        }
    };
    let (cri_name, attempt) = request.cri.clone().unwrap_or_default();
    Container {
        volumes: volumes(inner, &request.spec, details),
        id,
        origin: request.origin,
        name,
        cri_name,
        attempt,
        pod: request.pod.clone(),
        created_at: inner.now(),
        spec: request.spec.clone(),
        door_data: request.door_data.clone(),
        image_name,
        image: details.target.clone(),
        image_config: details.config_digest.clone(),
        snapshotter: inner.config.snapshotter.clone(),
        state: State::Created,
        run: None,
        restart: Default::default(),
        log_path,
        log,
        hosts_path: own("hosts"),
        hostname_path: own("hostname"),
        resolv_path: own("resolv.conf"),
        goes_with_volumes: false,
    }
}

/// Where the log of a container goes: its path for readers, and what the supervisor is told.
fn log_of(asked: &LogSpec, dir: &str, id: &ContainerId) -> (String, LogSink) {
    let json = |max_size, max_files, compress| LogSink::JsonFile {
        path: format!("{dir}/{id}-json.log"),
        max_size,
        max_files,
        compress,
    };
    let sink = match asked {
        LogSpec::JsonFile => json(0, 1, false),
        LogSpec::JsonFileRotated {
            max_size,
            max_files,
            compress,
        } => json(*max_size, *max_files, *compress),
        LogSpec::Local {
            max_size,
            max_files,
            compress,
        } => LogSink::Local {
            path: format!("{dir}/local-logs/container.log"),
            max_size: *max_size,
            max_files: *max_files,
            compress: *compress,
        },
        LogSpec::Cri(path) => LogSink::Cri { path: path.clone() },
        LogSpec::None => LogSink::None,
    };
    let path = match &sink {
        LogSink::JsonFile { path, .. } | LogSink::Cri { path } => path.clone(),
        // Docker shows no path for `local`: its files are for nobody but the daemon.
        LogSink::Local { .. } | LogSink::None => String::new(),
    };
    (path, sink)
}

/// Volumes asked for, then those the image declares at paths nothing else is mounted on. Pods get the kubelet's mounts
/// only: an image must not make volumes nobody will remove.
fn volumes(inner: &Inner, spec: &ContainerSpec, details: &ImageDetails) -> Vec<VolumeUse> {
    let fresh = || ContainerId::from_random(inner.host.random()).to_string();
    let mut uses: Vec<VolumeUse> = Vec::new();
    for mount in &spec.mounts {
        if let MountSource::Volume {
            name,
            driver,
            no_copy,
            anonymous,
            ..
        } = &mount.source
        {
            uses.push(VolumeUse {
                name: if name.is_empty() {
                    fresh()
                } else {
                    name.clone()
                },
                driver: driver.clone(),
                target: mount.target.clone(),
                read_only: mount.read_only,
                anonymous: *anonymous || name.is_empty(),
                no_copy: *no_copy,
                mountpoint: String::new(),
            });
        }
    }
    let taken: BTreeSet<&str> = spec
        .mounts
        .iter()
        .map(|mount| mount.target.trim_end_matches('/'))
        .collect();
    let declared = details
        .config
        .volumes
        .iter()
        .filter(|path| !taken.contains(path.trim_end_matches('/')));
    uses.extend(declared.map(|path| VolumeUse {
        name: fresh(),
        driver: "local".to_owned(),
        target: path.clone(),
        read_only: false,
        anonymous: true,
        no_copy: false,
        mountpoint: String::new(),
    }));
    uses
}
