//! A container's record to what CRI shows of it.

use gantry_cri_api::v1;
use gantry_model::Timestamp;
use gantry_model::container::Container;
use gantry_model::state::State;

use super::container::DoorData;
use super::image::Names;
use super::{hashed, mount, resources, signal};

/// What Kubernetes' users know as the exit code of a container that could not be started.
const START_ERROR: i32 = 128;

/// The state, for lists.
pub(crate) fn state(container: &Container) -> v1::ContainerState {
    match container.state {
        _ if start_failed(container) => v1::ContainerState::ContainerExited,
        State::Created => v1::ContainerState::ContainerCreated,
        State::Running | State::Paused => v1::ContainerState::ContainerRunning,
        State::Exited | State::Removing => v1::ContainerState::ContainerExited,
        State::Unknown => v1::ContainerState::ContainerUnknown,
    }
}

/// Kubelet never starts a container twice; one whose only start failed has ended for it.
fn start_failed(container: &Container) -> bool {
    container.state == State::Created
        && container
            .run
            .as_ref()
            .is_some_and(|run| !run.error.is_empty())
}

/// One line of a list.
pub(crate) fn item(container: &Container) -> v1::Container {
    v1::Container {
        id: container.id.to_string(),
        pod_sandbox_id: pod(container),
        metadata: Some(metadata(container)),
        image: Some(image_spec(container, container.spec.image.clone())),
        image_ref: container.image_config.clone(),
        image_id: container.image_config.clone(),
        state: state(container).into(),
        created_at: container.created_at.0,
        labels: hashed(&container.spec.labels),
        annotations: hashed(&container.spec.annotations),
    }
}

/// Everything about one. `image` has its image's names as they are now; `image_signal` is the stop signal of its image.
pub(crate) fn status(
    container: &Container,
    image: &Names,
    image_signal: &str,
) -> v1::ContainerStatus {
    let end = end(container);
    let shown = image
        .tags
        .first()
        .or(image.digests.first())
        .unwrap_or(&container.spec.image);
    let stop_signal = match signal::from_text(&container.spec.stop_signal) {
        v1::Signal::RuntimeDefault => signal::from_text(image_signal),
        given => given,
    };
    v1::ContainerStatus {
        id: container.id.to_string(),
        metadata: Some(metadata(container)),
        state: state(container).into(),
        created_at: container.created_at.0,
        started_at: container.run.as_ref().map_or(0, |run| run.started_at.0),
        finished_at: end.at.0,
        exit_code: end.code,
        reason: end.reason.to_owned(),
        message: end.message,
        image: Some(image_spec(container, shown.clone())),
        image_ref: image
            .digests
            .first()
            .unwrap_or(&container.image_config)
            .clone(),
        image_id: container.image_config.clone(),
        labels: hashed(&container.spec.labels),
        annotations: hashed(&container.spec.annotations),
        mounts: container
            .spec
            .mounts
            .iter()
            .filter_map(mount::view)
            .collect(),
        log_path: container.log_path.clone(),
        resources: Some(v1::ContainerResources {
            linux: Some(resources::view(&container.spec.resources)),
            windows: None,
        }),
        user: user(container),
        stop_signal: match stop_signal {
            v1::Signal::RuntimeDefault => v1::Signal::Sigterm,
            known => known,
        }
        .into(),
    }
}

/// How it ended.
#[derive(Default)]
struct End {
    code: i32,
    at: Timestamp,
    reason: &'static str,
    message: String,
}

fn end(container: &Container) -> End {
    if state(container) != v1::ContainerState::ContainerExited {
        return End::default();
    }
    let error = container
        .run
        .as_ref()
        .map(|run| run.error.clone())
        .unwrap_or_default();
    match container.exit() {
        // Its time is when the failure was recorded; records of before have none.
        exit if start_failed(container) => End {
            code: START_ERROR,
            at: exit.map_or(container.created_at, |exit| exit.at),
            reason: "StartError",
            message: error,
        },
        Some(exit) => End {
            code: exit.code,
            at: exit.at,
            reason: match exit.code {
                _ if exit.unknown => "Unknown",
                _ if exit.oom => "OOMKilled",
                0 => "Completed",
                _ => "Error",
            },
            message: error,
        },
        None => End::default(),
    }
}

/// Known without a look into the image only where the request gave numbers and nothing of the image adds to them.
fn user(container: &Container) -> Option<v1::ContainerUser> {
    let user = &container.spec.process.user;
    let (uid, gid) = (user.uid?, user.gid?);
    if !user.strict_groups {
        return None;
    }
    let mut groups = vec![i64::from(gid)];
    for group in &user.groups {
        let group = group.parse().ok()?;
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Some(v1::ContainerUser {
        linux: Some(v1::LinuxContainerUser {
            uid: uid.into(),
            gid: gid.into(),
            supplemental_groups: groups,
        }),
    })
}

fn metadata(container: &Container) -> v1::ContainerMetadata {
    v1::ContainerMetadata {
        name: container.cri_name.clone(),
        attempt: container.attempt,
    }
}

fn image_spec(container: &Container, image: String) -> v1::ImageSpec {
    v1::ImageSpec {
        image,
        user_specified_image: DoorData::read(&container.door_data).user_specified_image,
        ..Default::default()
    }
}

/// The pod's id.
pub(crate) fn pod(container: &Container) -> String {
    container
        .pod
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
