//! `GET /v1/operations`: what is being changed now, oldest first.

use axum::Json;
use axum::extract::State;
use gantry_model::operation::OperationView;

use crate::Door;

pub(crate) async fn list(State(door): State<Door>) -> Json<Vec<OperationView>> {
    Json(door.engine.operations())
}
