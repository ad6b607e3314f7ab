//! `GET /v1/operations`: what is being changed now, oldest first; `POST /v1/operations/ID/cancel`: stops one.

use axum::Json;
use axum::extract::{Path, State};
use gantry_model::operation::OperationView;

use crate::Door;
use crate::answer::Failed;

pub(crate) async fn list(State(door): State<Door>) -> Json<Vec<OperationView>> {
    Json(door.engine.operations())
}

/// The id may be cut short. Answers the operation as it is now: its end comes when its plugin or helper obeys.
pub(crate) async fn cancel(
    State(door): State<Door>,
    Path(id): Path<String>,
) -> Result<Json<OperationView>, Failed> {
    let view = door.engine.cancel_operation(&id)?;
    tracing::info!(operation = %view.operation.id, "an operator cancelled an operation");
    Ok(Json(view))
}
