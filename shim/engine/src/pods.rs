//! The way into a new pod: a retry is recognised, name and record are taken, then the owner makes it.

use std::sync::Arc;

use gantry_model::image::Origin;
use gantry_model::network::{Endpoint, EndpointSpec};
use gantry_model::sandbox::{PodSpec, Sandbox, SandboxFiles};
use gantry_model::state::State;
use gantry_model::supervisor::NamespaceMode;
use gantry_model::{EndpointId, Error, Result, SandboxId};

use crate::change::Item;
use crate::effect::{config, network};
use crate::handler;
use crate::inner::Inner;
use crate::owner::Wish;

pub(crate) async fn run(inner: &Arc<Inner>, spec: PodSpec) -> Result<SandboxId> {
    handler::check(&inner.config, &spec.handler)?;
    let m = &spec.metadata;
    if m.name.is_empty() || m.namespace.is_empty() || m.uid.is_empty() {
        return Err(Error::invalid(
            "pod metadata needs a name, a namespace and a uid",
        ));
    }
    let key = format!("pod {} {} {} {}", m.namespace, m.name, m.uid, m.attempt);
    // Held until the pod is whole: a retry waits here and then finds it.
    let _name = inner.reserve_in_turn(&key).await;
    if let Some(existing) = same_metadata(inner, &spec) {
        return join(&existing, &spec);
    }
    let id = SandboxId::from_random(inner.host.random());
    let endpoints = endpoints(inner, &id, &spec)?;
    let parent = config::cgroup_parent(inner, &spec.cgroup_parent);
    let sandbox = Sandbox {
        cgroup: format!("{parent}/{}", id.short()),
        id: id.clone(),
        origin: Origin::Cri,
        network: spec.network,
        pod: Some(spec),
        container: None,
        created_at: inner.now(),
        state: State::Created,
        endpoints: endpoints
            .iter()
            .map(|endpoint| endpoint.id.clone())
            .collect(),
        addresses: Vec::new(),
        files: SandboxFiles::default(),
        reason: String::new(),
    };
    let mut intent = inner.change().sandbox(sandbox);
    for endpoint in endpoints {
        intent = intent.with(Item::Endpoint(endpoint));
    }
    inner.ledger.write(intent).await?;
    inner.ask_pod(&id, Wish::Start).await?;
    Ok(id)
}

fn same_metadata(inner: &Inner, spec: &PodSpec) -> Option<Arc<Sandbox>> {
    let tables = inner.ledger.read();
    let same = |sandbox: &&Arc<Sandbox>| {
        sandbox
            .pod
            .as_ref()
            .is_some_and(|pod| pod.metadata == spec.metadata)
    };
    tables.sandboxes.values().find(same).cloned()
}

/// A retry of the same request answers the same pod; another request under the same name is a conflict.
fn join(existing: &Sandbox, spec: &PodSpec) -> Result<SandboxId> {
    let m = &spec.metadata;
    if existing.pod.as_ref() != Some(spec) {
        return Err(Error::already_exists(format!(
            "pod {}/{} attempt {} already exists as {} with another configuration",
            m.namespace, m.name, m.attempt, existing.id
        )));
    }
    match existing.state {
        State::Running => Ok(existing.id.clone()),
        state => Err(Error::already_exists(format!(
            "pod {}/{} attempt {} already exists as {} and is {}",
            m.namespace,
            m.name,
            m.attempt,
            existing.id,
            state.as_str()
        ))),
    }
}

fn endpoints(inner: &Inner, id: &SandboxId, spec: &PodSpec) -> Result<Vec<Endpoint>> {
    if spec.network == NamespaceMode::Host {
        return Ok(Vec::new());
    }
    let network = network::find(inner, &inner.config.default_network)?;
    // A driver that is missing is told now, before anything is made.
    inner.drivers.network(&network.spec.driver)?;
    Ok(vec![Endpoint {
        id: EndpointId::from_random(inner.host.random()),
        network: network.id.clone(),
        sandbox: id.clone(),
        spec: EndpointSpec {
            network: network.spec.name.clone(),
            ..EndpointSpec::default()
        },
        ports: spec.ports.clone(),
        interfaces: Vec::new(),
        joined: false,
        state: Default::default(),
    }])
}
