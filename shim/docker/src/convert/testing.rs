//! A container for the tests beside the converters.

use gantry_model::container::{Container, ContainerSpec};
use gantry_model::image::{Descriptor, Origin};
use gantry_model::policy::RestartState;
use gantry_model::state::State;
use gantry_model::supervisor::LogSink;
use gantry_model::{ContainerId, Timestamp};

/// One that was made and never started.
pub(crate) fn container() -> Container {
    Container {
        id: ContainerId::parse(&"c".repeat(64)).unwrap(),
        origin: Origin::Docker,
        name: "web".into(),
        cri_name: String::new(),
        attempt: 0,
        pod: None,
        created_at: Timestamp(1),
        spec: ContainerSpec::default(),
        door_data: String::new(),
        image_name: String::new(),
        image: Descriptor::default(),
        image_config: String::new(),
        snapshotter: String::new(),
        state: State::Created,
        run: None,
        restart: RestartState::default(),
        volumes: Vec::new(),
        log_path: String::new(),
        log: LogSink::None,
        hosts_path: String::new(),
        hostname_path: String::new(),
        resolv_path: String::new(),
        goes_with_volumes: false,
    }
}
