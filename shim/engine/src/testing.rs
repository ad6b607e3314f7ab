//! Records for unit tests.

use gantry_model::container::{Container, ContainerSpec, Run};
use gantry_model::image::{Descriptor, Origin};
use gantry_model::state::State;
use gantry_model::supervisor::LogSink;
use gantry_model::{ContainerId, SandboxId, Timestamp};

/// A stand-alone container that was never started.
pub(crate) fn container() -> Container {
    Container {
        id: ContainerId::from_random([7; 32]),
        origin: Origin::Docker,
        name: "probe".to_owned(),
        cri_name: String::new(),
        attempt: 0,
        pod: None,
        created_at: Timestamp(1),
        spec: ContainerSpec::default(),
        door_data: String::new(),
        image_name: String::new(),
        image: Descriptor::default(),
        image_config: String::new(),
        snapshotter: "overlay".to_owned(),
        state: State::Created,
        run: None,
        restart: Default::default(),
        volumes: Vec::new(),
        log_path: String::new(),
        log: LogSink::None,
        hosts_path: String::new(),
        hostname_path: String::new(),
        resolv_path: String::new(),
        goes_with_volumes: false,
    }
}

/// Its first run, as it is recorded before anything of it is made.
pub(crate) fn run() -> Run {
    Run {
        number: 1,
        sandbox: SandboxId::from_random([1; 32]),
        pid: 0,
        started_at: Timestamp(0),
        exit: None,
        error: String::new(),
        stopped_by_user: false,
        previous: None,
    }
}
