//! `GET /v1/ready[?timeout_ms=N]`: whether all doors serve; waits so long for it.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use gantry_model::Error;
use serde::{Deserialize, Serialize};

use crate::Door;
use crate::answer::Failed;

#[derive(Deserialize)]
pub(crate) struct Wait {
    #[serde(default)]
    timeout_ms: u64,
}

#[derive(Serialize)]
pub(crate) struct Ready {
    ready: bool,
}

pub(crate) async fn get(
    State(door): State<Door>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<Ready>, Failed> {
    let Query(wait) = wait.map_err(|e| Error::invalid(e.body_text()))?;
    let mut ready = door.config.ready;
    let limit = Duration::from_millis(wait.timeout_ms);
    match tokio::time::timeout(limit, ready.wait_for(|ready| *ready)).await {
        Ok(Ok(_)) => Ok(Json(Ready { ready: true })),
        Ok(Err(_)) => Err(Error::unavailable("gantryd is stopping").into()),
        Err(_) => Err(Error::unavailable("gantryd is up, its doors are not open yet").into()),
    }
}
