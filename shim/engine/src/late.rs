//! Taking up what was left: operations whose outcome was not known, when their plugin has answered, and those that were
//! cut off, at the next start.

use std::sync::Arc;

use gantry_model::operation::{Operation, OperationKind};
use gantry_model::plugin::{LateResult, PluginKind};
use gantry_model::state::State;
use gantry_model::{ContainerId, ErrorKind, NetworkId, OperationId, Result};

use crate::Engine;
use crate::change::{Change, Item};
use crate::effect::{self, network};
use crate::inner::{DRIVER_TIMEOUT, Inner};

impl Engine {
    /// A plugin has answered a call whose outcome had been reported as unknown: whatever waited for it goes on.
    pub fn late_result(&self, late: LateResult) {
        tracing::warn!(
            plugin = late.plugin,
            function = late.function,
            operation = %late.operation,
            outcome = ?late.outcome,
            message = late.message,
            "a plugin answered after its deadline"
        );
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let concerns = |object: &str| late.objects.iter().any(|known| known == object);
            go_on(&inner, concerns, Some(&late.operation)).await;
        });
    }

    /// A plugin serves again: a network driver is told what there is, and whatever is stuck is tried again.
    pub(crate) fn serves_again(&self, kind: PluginKind, name: &str) {
        let (inner, name) = (Arc::clone(&self.inner), name.to_owned());
        tokio::spawn(async move {
            if kind == PluginKind::Network {
                crate::recovery::agree(&inner, &name).await;
            }
            go_on(&inner, |_: &str| true, None).await;
        });
    }
}

/// Goes on with what waited for one of these objects.
async fn go_on(
    inner: &Arc<Inner>,
    concerns: impl Fn(&str) -> bool + Send + Sync,
    answered: Option<&OperationId>,
) {
    for operation in stuck(inner) {
        if (answered == Some(&operation.id) || concerns(&operation.object))
            && let Err(error) = take_up(inner, &operation).await
        {
            tracing::warn!(operation = %operation.id, %error, "taking up an operation after a late answer");
        }
    }
    for endpoint in network::orphans(inner) {
        if concerns(endpoint.id.as_str())
            && let Err(error) = network::leave_orphan(inner, &endpoint).await
        {
            tracing::warn!(endpoint = %endpoint.id, %error, "leaving a network after a late answer");
        }
    }
    let over = |volume: &str, holder: &ContainerId| {
        let run = inner.container(holder).ok().and_then(|one| one.run.clone());
        concerns(volume) && run.is_none_or(|run| run.exit.is_some())
    };
    if let Err(error) = effect::volume::let_go(inner, &inner.call(DRIVER_TIMEOUT), over).await {
        tracing::warn!(%error, "letting go of a volume after a late answer");
    }
    // What they waited for may be free now; one that goes on already is joined.
    for id in removing(inner) {
        crate::recovery::remove(inner, &id);
    }
}

fn removing(inner: &Inner) -> Vec<ContainerId> {
    let tables = inner.ledger.read();
    let all = tables
        .containers
        .values()
        .map(|seen| Arc::clone(&seen.borrow().container));
    all.filter(|container| container.state == State::Removing)
        .map(|container| container.id.clone())
        .collect()
}

/// Operations in the records that nobody works on.
fn stuck(inner: &Inner) -> Vec<Operation> {
    let views = inner.unfinished();
    let stuck = views.into_iter().filter(|view| view.stuck);
    stuck.map(|view| view.operation).collect()
}

/// Completes or undoes an operation that was cut off: what is half made is unmade, what was half removed goes on. Of
/// runs and pods the sandboxes and their records tell all.
///
/// # Errors
/// The driver's or the store's; the operation stays recorded then.
pub(crate) async fn take_up(inner: &Arc<Inner>, operation: &Operation) -> Result<()> {
    let change = inner.change().with(Item::NoOperation(operation.id.clone()));
    let change = match operation.kind {
        OperationKind::CreateContainer => container(inner, operation, change).await?,
        OperationKind::CreateVolume | OperationKind::RemoveVolume => {
            volume(inner, operation, change).await?
        }
        OperationKind::CreateNetwork | OperationKind::RemoveNetwork => {
            one_network(inner, operation, change).await?
        }
        _ => change,
    };
    inner.ledger.write(change).await
}

async fn container(inner: &Arc<Inner>, operation: &Operation, change: Change) -> Result<Change> {
    let found = ContainerId::parse(&operation.object)
        .ok()
        .and_then(|id| inner.container(&id).ok());
    let Some(container) = found else {
        return Ok(change);
    };
    effect::remove::unmake(inner, &inner.call(DRIVER_TIMEOUT), &container).await?;
    effect::remove::remove_volumes(inner, &container).await?;
    Ok(change.with(Item::NoContainer(container.id.clone())))
}

async fn volume(inner: &Arc<Inner>, operation: &Operation, change: Change) -> Result<Change> {
    let found = inner.ledger.read().volumes.get(&operation.object).cloned();
    let Some(volume) = found else {
        return Ok(change);
    };
    if operation.kind == OperationKind::CreateVolume && volume.made {
        return Ok(change);
    }
    let driver = inner.drivers.volume(&volume.driver)?;
    let result = driver.remove(&inner.call(DRIVER_TIMEOUT), &volume).await;
    gone_is_fine(result)?;
    Ok(change.with(Item::NoVolume(volume.name.clone())))
}

async fn one_network(inner: &Arc<Inner>, operation: &Operation, change: Change) -> Result<Change> {
    let id = NetworkId::parse(&operation.object).ok();
    let found = id.and_then(|id| inner.ledger.read().networks.get(&id).cloned());
    let Some(network) = found else {
        return Ok(change);
    };
    let driver = inner.drivers.network(&network.spec.driver)?;
    let result = driver.delete(&inner.call(DRIVER_TIMEOUT), &network).await;
    gone_is_fine(result)?;
    Ok(change.with(Item::NoNetwork(network.id.clone())))
}

fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
