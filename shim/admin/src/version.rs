//! `GET /v1/version`: who answers.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::Door;

#[derive(Serialize)]
pub(crate) struct Version {
    version: String,
    instance: String,
    pid: u32,
}

pub(crate) async fn get(State(door): State<Door>) -> Json<Version> {
    Json(Version {
        version: door.config.version.clone(),
        instance: door.engine.info().config.instance,
        pid: std::process::id(),
    })
}
