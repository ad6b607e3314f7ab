//! A sandbox's endpoints: joined in order, left whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gantry_model::call::Call;
use gantry_model::container::Container;
use gantry_model::event::Subject;
use gantry_model::network::{Endpoint, Network, PublishedPort};
use gantry_model::supervisor::Supervisor;
use gantry_model::{Error, Result, SandboxId};

use crate::change::{Change, Item};
use crate::inner::{DRIVER_TIMEOUT, Inner};

/// By name, id or unambiguous prefix of the id.
///
/// # Errors
/// `NotFound`, `InvalidArgument` for a prefix of several.
pub(crate) fn find(inner: &Inner, reference: &str) -> Result<Arc<Network>> {
    let tables = inner.ledger.read();
    if let Some(network) = tables
        .networks
        .values()
        .find(|n| n.spec.name == reference || n.id.as_str() == reference)
    {
        return Ok(Arc::clone(network));
    }
    let mut matching = tables
        .networks
        .values()
        .filter(|n| !reference.is_empty() && n.id.as_str().starts_with(reference));
    match (matching.next(), matching.next()) {
        (Some(network), None) => Ok(Arc::clone(network)),
        (Some(_), Some(_)) => Err(Error::invalid(format!(
            "network {reference} is ambiguous: several ids begin so"
        ))),
        _ => Err(Error::not_found(format!("network {reference} not found"))),
    }
}

/// Connects the sandbox to all its networks. On an error those joined before stay recorded; the caller leaves them.
pub(crate) async fn join_all(
    inner: &Arc<Inner>,
    call: &Call,
    endpoints: Vec<Endpoint>,
    handle: &dyn Supervisor,
) -> Result<Vec<Endpoint>> {
    if endpoints.is_empty() {
        return Ok(endpoints);
    }
    let netns = handle.network_namespace(call).await?.map(Arc::new);
    let mut joined = Vec::with_capacity(endpoints.len());
    for mut endpoint in endpoints {
        let network = record(inner, &endpoint)?;
        let fixed: Vec<PublishedPort> = endpoint
            .ports
            .iter()
            .filter(|port| port.host_port != 0)
            .cloned()
            .collect();
        if !fixed.is_empty() {
            let held = match taken(inner, &endpoint, &fixed) {
                Some(text) => Err(Error::conflict(text)),
                None => handle.hold_ports(call, &fixed).await,
            };
            held.map_err(|error| error.context(failed(inner, &endpoint)))?;
        }
        let driver = inner.drivers.network(&network.spec.driver)?;
        inner.waits(
            call,
            format!("network driver {}: join", network.spec.driver),
        );
        gantry_fault::point("engine.network.before-join")?;
        let made = driver
            .join(call, &network, &endpoint, netns.clone())
            .await?;
        gantry_fault::point("engine.network.after-join")?;
        let chosen: Vec<PublishedPort> = made
            .ports
            .iter()
            .filter(|port| !fixed.contains(port))
            .cloned()
            .collect();
        if !chosen.is_empty() {
            handle.hold_ports(call, &chosen).await?;
        }
        endpoint.interfaces = made.interfaces;
        endpoint.ports = made.ports;
        endpoint.state = made.state;
        endpoint.joined = true;
        joined.push(endpoint);
    }
    Ok(joined)
}

/// Docker's words for a port another of our endpoints has published.
fn taken(inner: &Inner, endpoint: &Endpoint, wanted: &[PublishedPort]) -> Option<String> {
    let any = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
    let clash = |have: &PublishedPort, want: &PublishedPort| {
        have.protocol == want.protocol
            && have.host_port == want.host_port
            && (any(&have.host_ip) || any(&want.host_ip) || have.host_ip == want.host_ip)
    };
    let tables = inner.ledger.read();
    let others = tables
        .endpoints
        .values()
        .filter(|other| other.joined && other.sandbox != endpoint.sandbox);
    let published: Vec<&PublishedPort> = others.flat_map(|other| &other.ports).collect();
    let port = wanted
        .iter()
        .find(|want| published.iter().any(|have| clash(have, want)))?;
    let ip = if port.host_ip.is_empty() {
        "0.0.0.0"
    } else {
        &port.host_ip
    };
    Some(format!(
        "Bind for {ip}:{} failed: port is already allocated",
        port.host_port
    ))
}

fn failed(inner: &Inner, endpoint: &Endpoint) -> String {
    let container = container_of(inner, &endpoint.sandbox);
    let name = container.map_or_else(
        || endpoint.sandbox.short().to_owned(),
        |container| container.name.clone(),
    );
    format!(
        "driver failed programming external connectivity on endpoint {name} ({})",
        endpoint.id
    )
}

/// Disconnects a sandbox from everything it was ever recorded to be on, and forgets the endpoints that are free.
pub(crate) async fn leave_all(inner: &Arc<Inner>, call: &Call, sandbox: &SandboxId) {
    if leave_once(inner, call, sandbox).await {
        return;
    }
    let (inner, sandbox) = (Arc::clone(inner), sandbox.clone());
    tokio::spawn(async move {
        let mut pause = Duration::from_secs(2);
        loop {
            tokio::time::sleep(pause).await;
            if leave_once(&inner, &inner.call(DRIVER_TIMEOUT), &sandbox).await {
                return;
            }
            pause = (pause * 2).min(super::finish::RETRY_LONGEST);
        }
    });
}

/// Whether none is left. What cannot be left now (no descriptors, say) keeps its record and its address.
async fn leave_once(inner: &Arc<Inner>, call: &Call, sandbox: &SandboxId) -> bool {
    let endpoints: Vec<Arc<Endpoint>> = {
        let tables = inner.ledger.read();
        tables
            .endpoints
            .values()
            .filter(|endpoint| endpoint.sandbox == *sandbox)
            .cloned()
            .collect()
    };
    if endpoints.is_empty() {
        return true;
    }
    let mut all = true;
    let mut change = inner.change();
    for endpoint in endpoints {
        match leave(inner, call, &endpoint).await {
            Ok(()) => {
                let name = name_of(inner, &endpoint);
                if endpoint.joined
                    && let Some(container) = container_of(inner, sandbox)
                {
                    change = event(change, "disconnect", &endpoint, &name, &container);
                }
                change = change.with(Item::NoEndpoint(endpoint.id.clone()));
            }
            Err(error) => {
                all = false;
                tracing::warn!(endpoint = %endpoint.id, %error, "leaving a network; it is tried again");
            }
        }
    }
    if let Err(error) = inner.ledger.write(change).await {
        tracing::error!(%sandbox, %error, "recording that endpoints are free");
        all = false;
    }
    all
}

async fn leave(inner: &Inner, call: &Call, endpoint: &Endpoint) -> Result<()> {
    // A network that is gone has nothing to leave.
    let Ok(network) = record(inner, endpoint) else {
        return Ok(());
    };
    inner.waits(
        call,
        format!("network driver {}: leave", network.spec.driver),
    );
    gantry_fault::pass("engine.network.before-leave");
    let driver = inner.drivers.network(&network.spec.driver)?;
    driver.leave(call, &network, endpoint).await?;
    gantry_fault::pass("engine.network.after-leave");
    Ok(())
}

/// Leaves with an endpoint whose sandbox is gone already (its driver had not answered in time), and forgets it.
///
/// # Errors
/// The driver's; the endpoint stays recorded then.
pub(crate) async fn leave_orphan(inner: &Arc<Inner>, endpoint: &Endpoint) -> Result<()> {
    leave(inner, &inner.call(crate::inner::DRIVER_TIMEOUT), endpoint).await?;
    let change = inner.change().with(Item::NoEndpoint(endpoint.id.clone()));
    inner.ledger.write(change).await
}

/// Endpoints whose sandbox is not in the records any more.
pub(crate) fn orphans(inner: &Inner) -> Vec<Arc<Endpoint>> {
    let tables = inner.ledger.read();
    tables
        .endpoints
        .values()
        .filter(|endpoint| !tables.sandboxes.contains_key(&endpoint.sandbox))
        .filter(|endpoint| !inner.unreadable.sandboxes.contains(&endpoint.sandbox))
        .cloned()
        .collect()
}

fn record(inner: &Inner, endpoint: &Endpoint) -> Result<Arc<Network>> {
    let tables = inner.ledger.read();
    let found = tables.networks.get(&endpoint.network).cloned();
    found.ok_or_else(|| Error::not_found(format!("network {} not found", endpoint.network)))
}

fn container_of(inner: &Inner, sandbox: &SandboxId) -> Option<Arc<Container>> {
    let id = inner.sandbox(sandbox).ok()?.container.clone()?;
    inner.container(&id).ok()
}

/// The network's name, or its id when its record is gone.
pub(crate) fn name_of(inner: &Inner, endpoint: &Endpoint) -> String {
    record(inner, endpoint).map_or_else(
        |_| endpoint.network.to_string(),
        |network| network.spec.name.clone(),
    )
}

/// Docker's network event.
pub(crate) fn event(
    change: Change,
    action: &str,
    endpoint: &Endpoint,
    network: &str,
    container: &Container,
) -> Change {
    let attributes = BTreeMap::from([
        ("container".to_owned(), container.id.to_string()),
        ("name".to_owned(), network.to_owned()),
    ]);
    change.event(
        Subject::Network,
        action,
        endpoint.network.as_str(),
        Some(container.origin),
        attributes,
    )
}

/// Addresses of the first endpoint that has any, without prefix lengths.
pub(crate) fn addresses(endpoints: &[Endpoint]) -> Vec<String> {
    let mut all = endpoints.iter().map(|endpoint| {
        let plain = |address: &String| address.split('/').next().unwrap_or(address).to_owned();
        endpoint
            .interfaces
            .iter()
            .flat_map(|i| i.addresses.iter().map(plain))
            .collect::<Vec<_>>()
    });
    all.find(|addresses| !addresses.is_empty())
        .unwrap_or_default()
}
