//! Networks.

use std::sync::Arc;

use gantry_model::network::{Endpoint, Network, NetworkSpec};
use gantry_model::{ContainerId, Error, NetworkId, Result, SandboxId};

use crate::Engine;

/// A network with who is on it.
#[derive(Clone, Debug)]
pub struct NetworkView {
    /// The network.
    pub network: Arc<Network>,
    /// Joined endpoints, with the stand-alone container (id, name) where it is one's.
    pub endpoints: Vec<(Arc<Endpoint>, Option<(ContainerId, String)>)>,
}

impl Engine {
    /// All networks, by name.
    pub fn networks(&self) -> Vec<Arc<Network>> {
        Vec::new()
    }

    /// By name, id or unambiguous prefix.
    ///
    /// # Errors
    /// `NotFound` (`network … not found`).
    pub fn find_network(&self, reference: &str) -> Result<NetworkView> {
        Err(Error::not_found(format!("network {reference} not found")))
    }

    /// Makes one.
    ///
    /// # Errors
    /// `Conflict` (name), `NotFound` (driver), `InvalidArgument`.
    pub async fn create_network(&self, spec: NetworkSpec) -> Result<NetworkId> {
        let _ = spec;
        Err(Error::unimplemented("create network"))
    }

    /// Removes one.
    ///
    /// # Errors
    /// `PermissionDenied` for a predefined one, `Conflict` while endpoints are on it.
    pub async fn remove_network(&self, reference: &str) -> Result<()> {
        let _ = reference;
        Err(Error::unimplemented("remove network"))
    }

    /// Endpoints of a sandbox, in its order.
    pub fn endpoints_of(&self, sandbox: &SandboxId) -> Vec<Arc<Endpoint>> {
        let _ = sandbox;
        Vec::new()
    }
}
