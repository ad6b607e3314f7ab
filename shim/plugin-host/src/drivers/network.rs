//! Networks by a plugin.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use gantry_abi::schema::network as payload;
use gantry_model::Result;
use gantry_model::call::Call;
use gantry_model::driver::{Joined, NetworkDriver, NetworkMade};
use gantry_model::network::{Endpoint, Network};
use gantry_plugin_loader::Descriptor;

use super::Driver;
use crate::convert;
use crate::told::Change;

#[async_trait]
impl NetworkDriver for Driver {
    async fn create(&self, call: &Call, network: &Network) -> Result<NetworkMade> {
        let request = convert::create_network(network);
        let change = Change::Create(Box::new(request.clone()));
        let answer = self
            .0
            .change(call, &[network.id.as_str()], &request, Vec::new(), change)
            .await?;
        Ok(NetworkMade {
            pools: convert::pools(answer.ipam),
            state: convert::kept(answer.state)?,
        })
    }

    async fn delete(&self, call: &Call, network: &Network) -> Result<()> {
        let request = payload::DeleteRequest {
            network: convert::network_ref(network)?,
        };
        let id = network.id.as_str();
        let change = Change::Delete(id.to_owned());
        self.0
            .change(call, &[id], &request, Vec::new(), change)
            .await
            .map(|_| ())
    }

    async fn join(
        &self,
        call: &Call,
        network: &Network,
        endpoint: &Endpoint,
        netns: Option<Arc<OwnedFd>>,
    ) -> Result<Joined> {
        let request = convert::join(network, endpoint, netns.is_some())?;
        let fds = netns.into_iter().map(Descriptor::Lent).collect();
        let id = endpoint.id.as_str();
        let change = Change::Join(Box::new(payload::KnownEndpoint {
            network: network.id.as_str().to_owned(),
            endpoint: id.to_owned(),
            sandbox: endpoint.sandbox.as_str().to_owned(),
            state: None,
        }));
        let answer = self.0.change(call, &[id], &request, fds, change).await?;
        Ok(Joined {
            interfaces: answer
                .interfaces
                .into_iter()
                .map(convert::interface)
                .collect(),
            ports: answer
                .ports
                .into_iter()
                .map(convert::published)
                .collect::<Result<_>>()?,
            state: convert::kept(answer.state)?,
        })
    }

    async fn leave(&self, call: &Call, network: &Network, endpoint: &Endpoint) -> Result<()> {
        let request = payload::LeaveRequest {
            network: convert::network_ref(network)?,
            endpoint: endpoint.id.as_str().to_owned(),
            sandbox: endpoint.sandbox.as_str().to_owned(),
            state: convert::handed_back_if_any(&endpoint.state)?,
            netns: None,
        };
        let id = endpoint.id.as_str();
        let change = Change::Leave(id.to_owned());
        self.0
            .change(call, &[id], &request, Vec::new(), change)
            .await
            .map(|_| ())
    }

    async fn reconcile(
        &self,
        call: &Call,
        networks: &[Network],
        endpoints: &[Endpoint],
    ) -> Result<Vec<String>> {
        let network = |network: &Network| {
            let state = convert::handed_back_if_any(&network.state)?;
            Ok(payload::KnownNetwork {
                create: convert::create_network(network),
                state,
            })
        };
        let endpoint = |endpoint: &Endpoint| {
            Ok(payload::KnownEndpoint {
                network: endpoint.network.as_str().to_owned(),
                endpoint: endpoint.id.as_str().to_owned(),
                sandbox: endpoint.sandbox.as_str().to_owned(),
                state: convert::handed_back_if_any(&endpoint.state)?,
            })
        };
        let request = payload::ReconcileRequest {
            networks: networks.iter().map(network).collect::<Result<_>>()?,
            endpoints: endpoints.iter().map(endpoint).collect::<Result<_>>()?,
        };
        let answer = self.0.believe(call, request).await?;
        let lost = answer
            .lost
            .into_iter()
            .map(|id| format!("endpoint {id} is lost"));
        Ok(answer
            .repaired
            .into_iter()
            .chain(answer.removed)
            .chain(lost)
            .collect())
    }
}
