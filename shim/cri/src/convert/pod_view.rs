//! A sandbox's record to what CRI shows of it.

use gantry_cri_api::v1;
use gantry_model::sandbox::{PodSpec, Sandbox};
use gantry_model::state::State;
use gantry_model::supervisor::NamespaceMode;

use super::{hashed, namespace};

/// READY only while it runs; CRI has no word for "not known".
pub(crate) fn state(sandbox: &Sandbox) -> v1::PodSandboxState {
    match sandbox.state {
        State::Running => v1::PodSandboxState::SandboxReady,
        _ => v1::PodSandboxState::SandboxNotready,
    }
}

/// One line of a list; `None` for a sandbox that is no pod's.
pub(crate) fn item(sandbox: &Sandbox) -> Option<v1::PodSandbox> {
    let pod = sandbox.pod.as_ref()?;
    Some(v1::PodSandbox {
        id: sandbox.id.to_string(),
        metadata: Some(metadata(pod)),
        state: state(sandbox).into(),
        created_at: sandbox.created_at.0,
        labels: hashed(&pod.labels),
        annotations: hashed(&pod.annotations),
        runtime_handler: pod.handler.clone(),
    })
}

/// Everything about one; `None` for a sandbox that is no pod's.
pub(crate) fn status(sandbox: &Sandbox) -> Option<v1::PodSandboxStatus> {
    let pod = sandbox.pod.as_ref()?;
    Some(v1::PodSandboxStatus {
        id: sandbox.id.to_string(),
        metadata: Some(metadata(pod)),
        state: state(sandbox).into(),
        created_at: sandbox.created_at.0,
        network: Some(network(sandbox)),
        linux: Some(v1::LinuxPodSandboxStatus {
            namespaces: Some(v1::Namespace {
                options: Some(namespace::view(pod)),
            }),
        }),
        labels: hashed(&pod.labels),
        annotations: hashed(&pod.annotations),
        runtime_handler: pod.handler.clone(),
    })
}

/// Addresses; none in the host's namespace, and none once it is stopped.
fn network(sandbox: &Sandbox) -> v1::PodSandboxNetworkStatus {
    if sandbox.network == NamespaceMode::Host || sandbox.state != State::Running {
        return v1::PodSandboxNetworkStatus::default();
    }
    let mut addresses = sandbox.addresses.iter().cloned();
    v1::PodSandboxNetworkStatus {
        ip: addresses.next().unwrap_or_default(),
        additional_ips: addresses.map(|ip| v1::PodIp { ip }).collect(),
    }
}

fn metadata(pod: &PodSpec) -> v1::PodSandboxMetadata {
    v1::PodSandboxMetadata {
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        namespace: pod.metadata.namespace.clone(),
        attempt: pod.metadata.attempt,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use gantry_cri_api::v1::{NamespaceMode as Mode, PodSandboxState};
    use gantry_model::image::Origin;
    use gantry_model::sandbox::{PodMetadata, PodSpec, Sandbox};
    use gantry_model::state::{STATES, State};
    use gantry_model::supervisor::NamespaceMode;
    use gantry_model::{SandboxId, Timestamp};

    use super::{item, state, status};

    pub(crate) fn sandbox(now: State) -> Sandbox {
        Sandbox {
            id: SandboxId::from_random([0xab; 32]),
            origin: Origin::Cri,
            pod: Some(PodSpec {
                metadata: PodMetadata {
                    name: "web".into(),
                    namespace: "default".into(),
                    uid: "u".into(),
                    attempt: 1,
                },
                labels: [("app".to_owned(), "web".to_owned())].into(),
                handler: "runc".into(),
                ..Default::default()
            }),
            container: None,
            created_at: Timestamp(5),
            state: now,
            network: NamespaceMode::Own,
            endpoints: Vec::new(),
            addresses: vec!["10.1.0.2".into(), "fd00::2".into()],
            cgroup: String::new(),
            files: Default::default(),
            reason: String::new(),
        }
    }

    #[test]
    fn only_a_running_one_is_ready() {
        for one in STATES {
            let ready = state(&sandbox(one)) == PodSandboxState::SandboxReady;
            assert_eq!(ready, one == State::Running, "{one:?}");
        }
    }

    #[test]
    fn addresses_are_shown_while_they_are_its_own() {
        let shown = status(&sandbox(State::Running)).unwrap();
        let network = shown.network.unwrap();
        assert_eq!(network.ip, "10.1.0.2");
        assert_eq!(network.additional_ips[0].ip, "fd00::2");
        assert_eq!(shown.runtime_handler, "runc");
        let options = shown.linux.unwrap().namespaces.unwrap().options.unwrap();
        assert_eq!(
            (options.network(), options.pid()),
            (Mode::Pod, Mode::Container)
        );

        assert_eq!(
            status(&sandbox(State::Exited)).unwrap().network.unwrap().ip,
            ""
        );
        let mut on_host = sandbox(State::Running);
        on_host.network = NamespaceMode::Host;
        assert_eq!(status(&on_host).unwrap().network.unwrap().ip, "");
    }

    #[test]
    fn a_stand_alone_run_is_no_pod() {
        let mut single = sandbox(State::Running);
        assert!(item(&single).is_some());
        single.pod = None;
        assert!(item(&single).is_none() && status(&single).is_none());
    }
}
