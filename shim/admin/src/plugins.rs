//! `GET /v1/plugins`: what is loaded, from which file, and how it is.

use axum::Json;
use axum::extract::State;
use gantry_model::plugin::PluginInfo;

use crate::Door;

pub(crate) async fn list(State(door): State<Door>) -> Json<Vec<PluginInfo>> {
    Json(door.engine.plugins())
}
