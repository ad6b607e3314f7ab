//! Networks: the predefined ones, and those users make.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::event::Subject;
use gantry_model::network::{Network, NetworkSpec};
use gantry_model::operation::OperationKind;
use gantry_model::plugin::PluginState;
use gantry_model::{Error, ErrorKind, NetworkId, Result};

use crate::change::Item;
use crate::inner::{DRIVER_TIMEOUT, Inner};

/// Networks that are always there: name and driver.
pub(crate) const PREDEFINED: [(&str, &str); 3] =
    [("bridge", "bridge"), ("host", "host"), ("none", "none")];

pub(crate) async fn create(
    inner: &Arc<Inner>,
    spec: NetworkSpec,
    predefined: bool,
) -> Result<NetworkId> {
    check_name(&spec.name)?;
    let _one_at_a_time = inner
        .reserve_in_turn(&format!("network {}", spec.name))
        .await;
    if inner
        .ledger
        .read()
        .networks
        .values()
        .any(|network| network.spec.name == spec.name)
    {
        return Err(Error::conflict(format!(
            "network with name {} already exists",
            spec.name
        )));
    }
    let driver = inner.drivers.network(&spec.driver)?;
    if !predefined && matches!(spec.driver.as_str(), "host" | "none" | "null") {
        return Err(Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "only one instance of \"{}\" network is allowed",
                spec.driver
            ),
        ));
    }
    let mut network = Network {
        id: NetworkId::from_random(inner.host.random()),
        created_at: inner.now(),
        predefined,
        state: PluginState::default(),
        spec,
    };
    let (operation, call) = inner.operation(
        OperationKind::CreateNetwork,
        network.id.as_str(),
        DRIVER_TIMEOUT,
    );
    let intent = inner
        .change()
        .with(Item::Network(network.clone()))
        .with(Item::Operation(operation.clone()));
    inner.ledger.write(intent).await?;
    inner.waits(
        &call,
        format!("network driver {}: create", network.spec.driver),
    );
    gantry_fault::pass("engine.network.before-create");
    let made = driver.create(&call, &network).await;
    let made = made
        .and_then(|made| Ok(gantry_fault::point("engine.network.after-create").map(|()| made)?));
    match made {
        Ok(made) => {
            network.spec.pools = made.pools;
            network.state = made.state;
            let id = network.id.clone();
            let change =
                event(inner, "create", &network).with(Item::NoOperation(operation.id.clone()));
            inner
                .ledger
                .write(change.with(Item::Network(network)))
                .await?;
            Ok(id)
        }
        Err(error) => {
            let call = inner.call(DRIVER_TIMEOUT);
            if let Err(undo) = driver.delete(&call, &network).await
                && undo.kind != ErrorKind::NotFound
            {
                // Its intent stays in the records: taken up again with the plugin's late answer, or at the next start.
                tracing::warn!(network = %network.spec.name, error = %undo, "clearing away a network that was not made");
                return Err(error);
            }
            let change = inner
                .change()
                .with(Item::NoNetwork(network.id))
                .with(Item::NoOperation(operation.id.clone()));
            inner.ledger.write(change).await?;
            Err(error)
        }
    }
}

pub(crate) async fn remove(inner: &Arc<Inner>, network: &Network) -> Result<()> {
    let name = &network.spec.name;
    let _one_at_a_time = inner.reserve_in_turn(&format!("network {name}")).await;
    if !inner.ledger.read().networks.contains_key(&network.id) {
        return Err(Error::not_found(format!("network {name} not found")));
    }
    if network.predefined {
        let text = format!("{name} is a pre-defined network and cannot be removed");
        return Err(Error::new(ErrorKind::PermissionDenied, text));
    }
    // Of sandboxes that are gone: their leaving failed, or was answered late.
    for endpoint in crate::effect::network::orphans(inner) {
        if endpoint.network == network.id {
            crate::effect::network::leave_orphan(inner, &endpoint).await?;
        }
    }
    let in_use = inner
        .ledger
        .read()
        .endpoints
        .values()
        .any(|endpoint| endpoint.network == network.id);
    if in_use {
        return Err(Error::conflict(format!(
            "error while removing network: network {name} has active endpoints"
        )));
    }
    let (operation, call) = inner.operation(
        OperationKind::RemoveNetwork,
        network.id.as_str(),
        DRIVER_TIMEOUT,
    );
    inner
        .ledger
        .write(inner.change().with(Item::Operation(operation.clone())))
        .await?;
    inner.waits(
        &call,
        format!("network driver {}: delete", network.spec.driver),
    );
    gantry_fault::pass("engine.network.before-delete");
    let result = match inner.drivers.network(&network.spec.driver) {
        Ok(driver) => driver.delete(&call, network).await,
        Err(error) => Err(error),
    };
    gantry_fault::pass("engine.network.after-delete");
    if let Err(error) = result {
        // Of an unknown outcome the intent stays: the removal goes on when the plugin has answered.
        if error.kind != ErrorKind::Unknown {
            inner.end(&operation).await?;
        }
        return Err(error);
    }
    let mut change = event(inner, "destroy", network).with(Item::NoNetwork(network.id.clone()));
    let kinds = [OperationKind::CreateNetwork, OperationKind::RemoveNetwork];
    for over in inner.recorded(&kinds, network.id.as_str()) {
        change = change.with(Item::NoOperation(over));
    }
    inner.ledger.write(change).await
}

fn event(inner: &Inner, action: &str, network: &Network) -> crate::change::Change {
    let attributes = BTreeMap::from([
        ("name".to_owned(), network.spec.name.clone()),
        ("type".to_owned(), network.spec.driver.clone()),
    ]);
    inner.change().event(
        Subject::Network,
        action,
        network.id.as_str(),
        None,
        attributes,
    )
}

fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let first = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric());
    if first && name.chars().all(good) {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "{name:?} is not a network name: only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed"
        )))
    }
}
