//! `POST /v1/log-level {"filter":"info,gantry_engine=debug"}`: changes what is logged; answers the filter in force.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use gantry_model::Error;
use serde::{Deserialize, Serialize};

use crate::Door;
use crate::answer::Failed;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Level {
    filter: String,
}

pub(crate) async fn set(
    State(door): State<Door>,
    level: Result<Json<Level>, JsonRejection>,
) -> Result<Json<Level>, Failed> {
    let Json(level) = level.map_err(|e| Error::invalid(e.body_text()))?;
    let filter = (door.config.set_log_filter)(&level.filter)?;
    tracing::info!(filter, "the log filter was changed");
    Ok(Json(Level { filter }))
}
