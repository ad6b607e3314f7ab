//! What kubelet is shown in every state.

use gantry_cri_api::v1;
use gantry_model::container::{Container, ContainerSpec, Run};
use gantry_model::image::{Descriptor, Origin};
use gantry_model::state::{STATES, State};
use gantry_model::supervisor::{Exit, LogSink};
use gantry_model::{ContainerId, SandboxId, Timestamp};

use super::{item, state, status};
use crate::convert::image::Names;

pub(crate) fn container(state: State, run: Option<Run>) -> Container {
    Container {
        id: ContainerId::from_random([1; 32]),
        origin: Origin::Cri,
        name: "web.0202.3".into(),
        cri_name: "web".into(),
        attempt: 3,
        pod: Some(SandboxId::from_random([2; 32])),
        created_at: Timestamp(10),
        spec: ContainerSpec {
            image: "busybox".into(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            ..Default::default()
        },
        door_data: r#"{"user_specified_image":"busybox:mine"}"#.into(),
        image_name: "docker.io/library/busybox:latest".into(),
        image: Descriptor::default(),
        image_config: "sha256:cc".into(),
        snapshotter: "overlay".into(),
        state,
        run,
        volumes: Vec::new(),
        restart: Default::default(),
        log_path: "/var/log/x".into(),
        log: LogSink::None,
        hosts_path: String::new(),
        hostname_path: String::new(),
        resolv_path: String::new(),
        goes_with_volumes: false,
    }
}

fn run(exit: Option<Exit>, error: &str) -> Option<Run> {
    Some(Run {
        number: 1,
        sandbox: SandboxId::from_random([2; 32]),
        pid: 0,
        started_at: Timestamp(20),
        exit,
        error: error.into(),
        stopped_by_user: false,
        previous: None,
    })
}

fn exit(code: i32) -> Exit {
    Exit {
        code,
        at: Timestamp(30),
        ..Default::default()
    }
}

#[test]
fn every_state_is_shown() {
    use v1::ContainerState::{
        ContainerCreated, ContainerExited, ContainerRunning, ContainerUnknown,
    };
    let shown = STATES.map(|one| state(&container(one, None)));
    assert_eq!(
        shown,
        [
            ContainerCreated,
            ContainerRunning,
            ContainerRunning,
            ContainerExited,
            ContainerExited,
            ContainerUnknown
        ]
    );
}

#[test]
fn ends_have_the_reasons_kubernetes_knows() {
    let oom = Exit {
        oom: true,
        ..exit(137)
    };
    let lost = Exit {
        unknown: true,
        ..exit(255)
    };
    for (exit, code, reason) in [
        (exit(0), 0, "Completed"),
        (exit(3), 3, "Error"),
        (exit(137), 137, "Error"),
        (oom, 137, "OOMKilled"),
        (lost, 255, "Unknown"),
    ] {
        let shown = status(
            &container(State::Exited, run(Some(exit), "")),
            &Names::default(),
            "",
        );
        assert_eq!((shown.exit_code, shown.reason.as_str()), (code, reason));
        assert_eq!(
            (shown.created_at, shown.started_at, shown.finished_at),
            (10, 20, 30)
        );
    }
}

#[test]
fn a_run_in_progress_has_no_end() {
    let shown = status(
        &container(State::Running, run(None, "")),
        &Names::default(),
        "",
    );
    assert_eq!(
        (shown.finished_at, shown.exit_code, shown.reason.as_str()),
        (0, 0, "")
    );
    assert_eq!(shown.started_at, 20);
}

#[test]
fn a_failed_start_has_ended() {
    for (recorded, at) in [(None, 10), (Some(exit(127)), 30)] {
        let one = container(State::Created, run(recorded, "no such program"));
        let shown = status(&one, &Names::default(), "");
        assert_eq!(shown.state(), v1::ContainerState::ContainerExited);
        assert_eq!(
            (shown.exit_code, shown.reason.as_str()),
            (128, "StartError")
        );
        assert_eq!(shown.message, "no such program");
        assert_eq!(shown.finished_at, at);
    }
}

#[test]
fn images_are_shown_by_name_and_by_digest() {
    let one = container(State::Running, None);
    let names = Names {
        tags: vec!["docker.io/library/busybox:1".into()],
        digests: vec!["docker.io/library/busybox@sha256:dd".into()],
    };
    let shown = status(&one, &names, "SIGQUIT");
    let image = shown.image.clone().unwrap();
    assert_eq!(image.image, "docker.io/library/busybox:1");
    assert_eq!(image.user_specified_image, "busybox:mine");
    assert_eq!(shown.image_ref, "docker.io/library/busybox@sha256:dd");
    assert_eq!(shown.image_id, "sha256:cc");
    assert_eq!(shown.stop_signal(), v1::Signal::Sigquit);

    let nameless = status(&one, &Names::default(), "");
    assert_eq!(nameless.image.unwrap().image, "busybox");
    assert_eq!(nameless.image_ref, "sha256:cc");
    assert_eq!(nameless.stop_signal, i32::from(v1::Signal::Sigterm));
    assert_eq!(item(&one).image_ref, "sha256:cc");
}
