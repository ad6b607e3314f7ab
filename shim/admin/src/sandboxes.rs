//! `GET /v1/sandboxes`: the pods, oldest first.

use axum::Json;
use axum::extract::State;
use gantry_model::image::Origin;
use gantry_model::sandbox::Sandbox;
use serde::Serialize;

use crate::Door;

/// One pod. Times are nanoseconds since 1970.
#[derive(Serialize)]
pub(crate) struct View {
    id: String,
    door: Origin,
    name: String,
    namespace: String,
    attempt: u32,
    state: &'static str,
    reason: String,
    addresses: Vec<String>,
    handler: String,
    created_at: i64,
}

pub(crate) async fn list(State(door): State<Door>) -> Json<Vec<View>> {
    Json(
        door.engine
            .sandboxes()
            .iter()
            .filter_map(|sandbox| view(sandbox))
            .collect(),
    )
}

fn view(sandbox: &Sandbox) -> Option<View> {
    let pod = sandbox.pod.as_ref()?;
    Some(View {
        id: sandbox.id.to_string(),
        door: sandbox.origin,
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        attempt: pod.metadata.attempt,
        state: sandbox.state.as_str(),
        reason: sandbox.reason.clone(),
        addresses: sandbox.addresses.clone(),
        handler: pod.handler.clone(),
        created_at: sandbox.created_at.0,
    })
}
