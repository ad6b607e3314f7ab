//! Volumes of a container: made when missing, filled at first use, described for the builder, let go.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::call::Call;
use gantry_model::container::{Container, VolumeUse};
use gantry_model::event::Subject;
use gantry_model::mount::{MountDescription, MountSource};
use gantry_model::operation::{Operation, OperationKind};
use gantry_model::volume::Volume;
use gantry_model::{ContainerId, Error, ErrorKind, Result};
use gantry_spec::Bind;

use crate::CreateVolume;
use crate::change::{Change, Item};
use crate::inner::{DRIVER_TIMEOUT, Inner};

mod holds;

pub(crate) use holds::Holds;

/// What changes of a volume wait for: each other.
fn key(name: &str) -> String {
    format!("volume {name}")
}

/// Makes the volume, or answers the one that is there.
///
/// # Errors
/// `Conflict` when one of that name belongs to another driver, and the driver's own.
pub(crate) async fn ensure(
    inner: &Arc<Inner>,
    request: &CreateVolume,
    anonymous: bool,
) -> Result<Arc<Volume>> {
    let _one_at_a_time = inner.reserve_in_turn(&key(&request.name)).await;
    let driver_name = if request.driver.is_empty() {
        "local"
    } else {
        &request.driver
    };
    let existing = {
        let tables = inner.ledger.read();
        let going = |operation: &Operation| {
            operation.kind == OperationKind::RemoveVolume && operation.object == request.name
        };
        if tables.operations.values().any(going) {
            return Err(Error::conflict(format!(
                "volume {} is being removed; its driver has not answered yet",
                request.name
            )));
        }
        tables.volumes.get(&request.name).cloned()
    };
    if let Some(volume) = existing.filter(|volume| volume.made) {
        return if volume.driver == driver_name {
            Ok(volume)
        } else {
            Err(Error::conflict(format!(
                "a volume named {} already exists with the {} driver: choose a different volume name",
                volume.name, volume.driver
            )))
        };
    }
    let driver = inner.drivers.volume(driver_name)?;
    let (operation, call) =
        inner.operation(OperationKind::CreateVolume, &request.name, DRIVER_TIMEOUT);
    let mut volume = Volume {
        name: request.name.clone(),
        driver: driver_name.to_owned(),
        options: request.options.clone(),
        labels: request.labels.clone(),
        created_at: inner.now(),
        anonymous,
        ..Volume::default()
    };
    let intent = inner
        .change()
        .with(Item::Volume(volume.clone()))
        .with(Item::Operation(operation.clone()));
    inner.ledger.write(intent).await?;
    inner.waits(&call, format!("volume driver {driver_name}: create"));
    gantry_fault::pass("engine.volume.before-create");
    let made = driver.create(&call, &volume).await;
    let made =
        made.and_then(|made| Ok(gantry_fault::point("engine.volume.after-create").map(|()| made)?));
    match made {
        Ok(made) => {
            volume.mountpoint = made.mountpoint;
            volume.state = made.state;
            volume.made = true;
            let attributes = BTreeMap::from([("driver".to_owned(), volume.driver.clone())]);
            let change =
                inner
                    .change()
                    .event(Subject::Volume, "create", &volume.name, None, attributes);
            let change = over(
                inner,
                change.with(Item::Volume(volume.clone())),
                &volume.name,
            );
            inner.ledger.write(change).await?;
            Ok(Arc::new(volume))
        }
        Err(error) => {
            let call = inner.call(DRIVER_TIMEOUT);
            if let Err(undo) = driver.remove(&call, &volume).await
                && undo.kind != ErrorKind::NotFound
            {
                // Its intent stays in the records: taken up again with the plugin's late answer, or at the next start.
                tracing::warn!(volume = %volume.name, error = %undo, "clearing away a volume that was not made");
                return Err(error);
            }
            let change = inner
                .change()
                .with(Item::NoVolume(volume.name))
                .with(Item::NoOperation(operation.id.clone()));
            inner.ledger.write(change).await?;
            Err(error)
        }
    }
}

/// Removes a volume nobody uses, but for a container that is `going` itself.
///
/// # Errors
/// `NotFound`, `Conflict` with the users' ids.
pub(crate) async fn remove(
    inner: &Arc<Inner>,
    name: &str,
    going: Option<&ContainerId>,
) -> Result<()> {
    let _one_at_a_time = inner.reserve_in_turn(&key(name)).await;
    let volume = inner.ledger.read().volumes.get(name).cloned();
    let volume = volume.ok_or_else(|| Error::not_found(format!("get {name}: no such volume")))?;
    let mut users = users(inner, name);
    users.retain(|user| going.is_none_or(|going| user != going.as_str()));
    if !users.is_empty() {
        let users = users.join(", ");
        return Err(Error::conflict(format!(
            "remove {name}: volume is in use - [{users}]"
        )));
    }
    // Nobody uses it, but a driver may not have let go yet: an answer that failed or came late.
    let_go(inner, &inner.call(DRIVER_TIMEOUT), |held, _| held == name).await?;
    let (operation, call) = inner.operation(OperationKind::RemoveVolume, name, DRIVER_TIMEOUT);
    inner
        .ledger
        .write(inner.change().with(Item::Operation(operation.clone())))
        .await?;
    inner.waits(&call, format!("volume driver {}: remove", volume.driver));
    gantry_fault::pass("engine.volume.before-remove");
    let result = match inner.drivers.volume(&volume.driver) {
        Ok(driver) => driver.remove(&call, &volume).await,
        Err(error) => Err(error),
    };
    gantry_fault::pass("engine.volume.after-remove");
    if let Err(error) = result {
        // Of an unknown outcome the intent stays: the removal goes on when the plugin has answered.
        if error.kind != ErrorKind::Unknown {
            inner.end(&operation).await?;
        }
        return Err(error);
    }
    let attributes = BTreeMap::from([("driver".to_owned(), volume.driver.clone())]);
    let change = inner
        .change()
        .event(Subject::Volume, "destroy", name, None, attributes);
    let change = over(inner, change.with(Item::NoVolume(name.to_owned())), name);
    inner.ledger.write(change).await
}

/// With this change the volume is as it was asked for last: whatever is recorded of it is over.
fn over(inner: &Inner, mut change: Change, name: &str) -> Change {
    let kinds = [OperationKind::CreateVolume, OperationKind::RemoveVolume];
    for operation in inner.recorded(&kinds, name) {
        change = change.with(Item::NoOperation(operation));
    }
    change
}

/// Ids of the containers that use a volume.
fn users(inner: &Inner, name: &str) -> Vec<String> {
    let tables = inner.ledger.read();
    let uses = |container: &Container| container.volumes.iter().any(|volume| volume.name == name);
    let containers = tables
        .containers
        .values()
        .map(|sender| Arc::clone(&sender.borrow().container));
    containers
        .filter(|container| uses(container))
        .map(|container| container.id.to_string())
        .collect()
}

/// All mounts of a container in the order asked: volumes made and filled where need be, host paths, memory.
pub(crate) async fn mount_all(
    inner: &Arc<Inner>,
    call: &Call,
    container: &Container,
    rootfs: &[MountDescription],
) -> Result<Vec<Bind>> {
    let mut binds = Vec::new();
    for volume in &container.volumes {
        binds.push(mount(inner, call, container, volume, rootfs).await?);
    }
    for spec in &container.spec.mounts {
        let mut options = vec![if spec.read_only { "ro" } else { "rw" }.to_owned()];
        let (kind, source) = match &spec.source {
            MountSource::Volume { .. } => continue,
            MountSource::Bind { path, create } => {
                if *create {
                    if !inner.host.exists(path).await {
                        inner.host.make_dir(path, 0o755).await?;
                    }
                } else if !inner.host.exists(path).await {
                    return Err(missing_source(path));
                }
                options.insert(0, "rbind".to_owned());
                options.push(
                    spec.propagation
                        .clone()
                        .unwrap_or_else(|| "rprivate".to_owned()),
                );
                ("bind", path.clone())
            }
            MountSource::Tmpfs { options: asked } => {
                options.extend(asked.iter().cloned());
                ("tmpfs", "tmpfs".to_owned())
            }
        };
        binds.push(Bind {
            kind: kind.to_owned(),
            source,
            target: spec.target.clone(),
            options,
        });
    }
    // A mount below another one's target must come after it.
    binds.sort_by_key(|bind| {
        bind.target
            .split('/')
            .filter(|part| !part.is_empty())
            .count()
    });
    Ok(binds)
}

pub(crate) fn missing_source(path: &str) -> Error {
    Error::invalid(format!(
        "invalid mount config for type \"bind\": bind source path does not exist: {path}"
    ))
}

async fn mount(
    inner: &Arc<Inner>,
    call: &Call,
    container: &Container,
    used: &VolumeUse,
    rootfs: &[MountDescription],
) -> Result<Bind> {
    let request = CreateVolume {
        name: used.name.clone(),
        driver: used.driver.clone(),
        ..CreateVolume::default()
    };
    let volume = ensure(inner, &request, used.anonymous).await?;
    let driver = inner.drivers.volume(&volume.driver)?;
    inner.holds.add(&volume.name, &container.id);
    let description = driver.mount(call, &volume, container.id.as_str()).await?;
    if !volume.filled && description.kind == "bind" {
        fill(inner, call, &volume, used, rootfs, &description.source).await?;
    }
    let mut options = description.options;
    if description.kind == "bind"
        && !options
            .iter()
            .any(|option| option == "bind" || option == "rbind")
    {
        options.push("rbind".to_owned());
    }
    if used.read_only {
        options.push("ro".to_owned());
    }
    Ok(Bind {
        kind: description.kind,
        source: description.source,
        target: used.target.clone(),
        options,
    })
}

/// Copies what the image has at the target into a volume used for the first time. One at a time: two containers that
/// start on one new volume see one copy.
async fn fill(
    inner: &Arc<Inner>,
    call: &Call,
    volume: &Volume,
    used: &VolumeUse,
    rootfs: &[MountDescription],
    destination: &str,
) -> Result<()> {
    let _one_at_a_time = inner.reserve_in_turn(&key(&volume.name)).await;
    let current = inner.ledger.read().volumes.get(&volume.name).cloned();
    let Some(current) = current.filter(|current| !current.filled) else {
        return Ok(());
    };
    if !used.no_copy {
        let doing = format!(
            "filling volume {} from {} of the image",
            volume.name, used.target
        );
        inner.waits(call, &doing);
        inner
            .images
            .copy_up(call, rootfs, &used.target, destination)
            .await
            .map_err(|error| error.context(doing))?;
    }
    let filled = Volume {
        filled: true,
        ..(*current).clone()
    };
    inner
        .ledger
        .write(inner.change().with(Item::Volume(filled)))
        .await
}

/// Tells the drivers that the container is done.
pub(crate) async fn release(inner: &Arc<Inner>, call: &Call, container: &Container) {
    for used in &container.volumes {
        let volume = inner.ledger.read().volumes.get(&used.name).cloned();
        let Some(volume) = volume else { continue };
        if let Err(error) = unmount(inner, call, &volume, &container.id).await {
            tracing::warn!(volume = %volume.name, container = %container.id, %error, "letting go of a volume");
        }
    }
}

async fn unmount(
    inner: &Inner,
    call: &Call,
    volume: &Volume,
    container: &ContainerId,
) -> Result<()> {
    let driver = inner.drivers.volume(&volume.driver)?;
    inner.waits(call, format!("volume driver {}: unmount", volume.driver));
    gantry_fault::pass("engine.volume.before-unmount");
    match driver.unmount(call, volume, container.as_str()).await {
        // A driver without the call holds nothing that it could let go of.
        Err(error) if !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unimplemented) => {
            Err(error)
        }
        _ => {
            gantry_fault::pass("engine.volume.after-unmount");
            inner.holds.remove(&volume.name, container);
            Ok(())
        }
    }
}

/// Has the drivers let go of what is held still and `wanted` picks by volume and container.
///
/// # Errors
/// The first of the drivers'; the others were asked all the same. What failed stays held.
pub(crate) async fn let_go(
    inner: &Arc<Inner>,
    call: &Call,
    wanted: impl Fn(&str, &ContainerId) -> bool,
) -> Result<()> {
    let mut first = Ok(());
    for (name, container) in inner.holds.all() {
        if !wanted(&name, &container) {
            continue;
        }
        let volume = inner.ledger.read().volumes.get(&name).cloned();
        let result = match volume {
            Some(volume) => unmount(inner, call, &volume, &container).await,
            None => {
                inner.holds.remove(&name, &container);
                Ok(())
            }
        };
        first = first.and(result);
    }
    first
}
