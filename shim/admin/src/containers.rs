//! `GET /v1/containers`: the containers of both doors, oldest first.

use axum::Json;
use axum::extract::State;
use gantry_model::container::Container;
use gantry_model::image::Origin;
use serde::Serialize;

use crate::Door;

/// One container, without what may be secret (environment, arguments). Times are nanoseconds since 1970, 0 for never.
#[derive(Serialize)]
pub(crate) struct View {
    id: String,
    name: String,
    door: Origin,
    image: String,
    state: &'static str,
    pid: i32,
    created_at: i64,
    started_at: i64,
    finished_at: i64,
    exit_code: Option<i32>,
    oom: bool,
    error: String,
    run: u32,
    pod: Option<String>,
    pod_name: String,
}

pub(crate) async fn list(State(door): State<Door>) -> Json<Vec<View>> {
    let sandboxes = door.engine.sandboxes();
    let pod_name = |container: &Container| {
        let pod = container.pod.as_ref()?;
        let sandbox = sandboxes.iter().find(|sandbox| sandbox.id == *pod)?;
        Some(sandbox.pod.as_ref()?.metadata.name.clone())
    };
    Json(
        door.engine
            .containers(None)
            .iter()
            .map(|container| view(container, pod_name(container)))
            .collect(),
    )
}

fn view(container: &Container, pod_name: Option<String>) -> View {
    let run = container.run.as_ref();
    let exit = container.exit();
    View {
        id: container.id.to_string(),
        name: if container.cri_name.is_empty() {
            container.name.clone()
        } else {
            container.cri_name.clone()
        },
        door: container.origin,
        image: container.spec.image.clone(),
        state: container.state.as_str(),
        pid: run.map_or(0, |run| run.pid),
        created_at: container.created_at.0,
        started_at: run.map_or(0, |run| run.started_at.0),
        finished_at: exit.map_or(0, |exit| exit.at.0),
        exit_code: exit.map(|exit| exit.code),
        oom: exit.is_some_and(|exit| exit.oom),
        error: run.map(|run| run.error.clone()).unwrap_or_default(),
        run: run.map_or(0, |run| run.number),
        pod: container.pod.as_ref().map(ToString::to_string),
        pod_name: pod_name.unwrap_or_default(),
    }
}
