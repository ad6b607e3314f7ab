//! Networks.

use std::sync::Arc;

use gantry_model::network::{Endpoint, Network, NetworkSpec};
use gantry_model::{ContainerId, NetworkId, Result, SandboxId};

use crate::{Engine, effect, networks};

/// An endpoint, with the stand-alone container (id, name) where it is one's.
pub type Member = (Arc<Endpoint>, Option<(ContainerId, String)>);

/// A network with who is on it.
#[derive(Clone, Debug)]
pub struct NetworkView {
    /// The network.
    pub network: Arc<Network>,
    /// Joined endpoints.
    pub endpoints: Vec<Member>,
}

impl Engine {
    /// All networks, by name.
    pub fn networks(&self) -> Vec<Arc<Network>> {
        let tables = self.inner.ledger.read();
        let mut all: Vec<_> = tables.networks.values().cloned().collect();
        all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        all
    }

    /// By name, id or unambiguous prefix.
    ///
    /// # Errors
    /// `NotFound` (`network … not found`).
    pub fn find_network(&self, reference: &str) -> Result<NetworkView> {
        let network = effect::network::find(&self.inner, reference)?;
        let tables = self.inner.ledger.read();
        let on_it = tables
            .endpoints
            .values()
            .filter(|e| e.network == network.id && e.joined)
            .cloned();
        let owner = |endpoint: &Endpoint| {
            let id = tables.sandboxes.get(&endpoint.sandbox)?.container.clone()?;
            let name = tables.containers.get(&id)?.borrow().container.name.clone();
            Some((id, name))
        };
        let endpoints = on_it
            .map(|endpoint| (Arc::clone(&endpoint), owner(&endpoint)))
            .collect();
        Ok(NetworkView { network, endpoints })
    }

    /// Makes one.
    ///
    /// # Errors
    /// `Conflict` (name), `NotFound` (driver), `InvalidArgument`.
    pub async fn create_network(&self, spec: NetworkSpec) -> Result<NetworkId> {
        let inner = Arc::clone(&self.inner);
        crate::run_to_end(async move { networks::create(&inner, spec, false).await }).await
    }

    /// Removes one.
    ///
    /// # Errors
    /// `PermissionDenied` for a predefined one, `Conflict` while endpoints are on it.
    pub async fn remove_network(&self, reference: &str) -> Result<()> {
        let network = effect::network::find(&self.inner, reference)?;
        let inner = Arc::clone(&self.inner);
        crate::run_to_end(async move { networks::remove(&inner, &network).await }).await
    }

    /// Endpoints of a sandbox, in its order.
    pub fn endpoints_of(&self, sandbox: &SandboxId) -> Vec<Arc<Endpoint>> {
        let tables = self.inner.ledger.read();
        let Some(record) = tables.sandboxes.get(sandbox) else {
            return Vec::new();
        };
        record
            .endpoints
            .iter()
            .filter_map(|id| tables.endpoints.get(id).cloned())
            .collect()
    }
}
