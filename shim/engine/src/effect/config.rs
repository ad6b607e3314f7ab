//! What goes into a runtime configuration from the engine's side.

use gantry_model::Result;
use gantry_model::container::Container;
use gantry_model::image::ImageConfig;
use gantry_model::sandbox::Sandbox;
use gantry_model::supervisor::{NamespaceMode, PidMode};
use gantry_spec::{Bind, HostFacts, Input};

use crate::inner::Inner;

/// Namespaces of the sandbox a container runs in.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) network: NamespaceMode,
    pub(crate) ipc: NamespaceMode,
    pub(crate) uts: NamespaceMode,
    pub(crate) pid: PidMode,
    pub(crate) hostname: String,
}

impl Facts {
    pub(crate) fn of_pod(sandbox: &Sandbox) -> Self {
        let pod = sandbox.pod.clone().unwrap_or_default();
        let hostname = pod_hostname(&pod);
        Self {
            network: sandbox.network,
            ipc: pod.ipc,
            uts: uts_of(pod.network),
            pid: pod.pid,
            hostname,
        }
    }

    pub(crate) fn of_container(container: &Container) -> Self {
        let mode = |host: bool| {
            if host {
                NamespaceMode::Host
            } else {
                NamespaceMode::Own
            }
        };
        let spec = &container.spec;
        Self {
            network: mode(spec.network.host),
            ipc: mode(spec.host_ipc),
            uts: mode(spec.host_uts),
            pid: if spec.host_pid {
                PidMode::Host
            } else {
                PidMode::Container
            },
            hostname: hostname(container),
        }
    }
}

/// A pod on the host's network has the host's name too, as the kubelet expects.
pub(crate) fn uts_of(network: NamespaceMode) -> NamespaceMode {
    network
}

pub(crate) fn build(
    inner: &Inner,
    container: &Container,
    image: &ImageConfig,
    facts: &Facts,
    binds: &[Bind],
) -> Result<String> {
    gantry_spec::container_config(&input(inner, container, image, facts, binds))
}

pub(crate) fn input<'a>(
    inner: &Inner,
    container: &'a Container,
    image: &'a ImageConfig,
    facts: &'a Facts,
    binds: &'a [Bind],
) -> Input<'a> {
    Input {
        container,
        image,
        hostname: &facts.hostname,
        network: facts.network,
        ipc: facts.ipc,
        uts: facts.uts,
        pid: facts.pid,
        binds,
        host: HostFacts {
            capabilities: inner.config.capabilities,
            cgroup_version: inner.config.cgroup_version,
        },
    }
}

/// Host name of a stand-alone container: the one asked for, or its short id.
pub(crate) fn hostname(container: &Container) -> String {
    if container.spec.hostname.is_empty() {
        container.id.short().to_owned()
    } else {
        container.spec.hostname.clone()
    }
}

/// Host name of a pod: the one asked for, or its name. One on the host's network keeps the host's.
pub(crate) fn pod_hostname(pod: &gantry_model::sandbox::PodSpec) -> String {
    match (&pod.hostname, pod.network) {
        (_, NamespaceMode::Host) => String::new(),
        (asked, _) if asked.is_empty() => pod.metadata.name.clone(),
        (asked, _) => asked.clone(),
    }
}

/// Where the cgroups of a sandbox go: below what was asked, or below the instance.
pub(crate) fn cgroup_parent(inner: &Inner, asked: &str) -> String {
    let asked = asked.trim_matches('/');
    if asked.is_empty() {
        inner.config.cgroup_parent.clone()
    } else {
        asked.to_owned()
    }
}
