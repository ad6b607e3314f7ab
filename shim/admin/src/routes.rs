//! Which path is answered by which file.

use axum::Router;
use axum::http::{Method, Uri};
use axum::routing::{get, post};
use gantry_model::{Error, ErrorKind};

use crate::answer::Failed;
use crate::{Door, containers, events, log_level, operations, plugins, ready, sandboxes, version};

/// The whole door.
pub(crate) fn routes(door: Door) -> Router {
    Router::new()
        .route("/v1/ready", get(ready::get))
        .route("/v1/version", get(version::get))
        .route("/v1/containers", get(containers::list))
        .route("/v1/sandboxes", get(sandboxes::list))
        .route("/v1/plugins", get(plugins::list))
        .route("/v1/plugins/{kind}/{name}/release", post(plugins::release))
        .route("/v1/operations", get(operations::list))
        .route("/v1/operations/{id}/cancel", post(operations::cancel))
        .route("/v1/events", get(events::stream))
        .route("/v1/log-level", post(log_level::set))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(door)
}

async fn no_such_path(uri: Uri) -> Failed {
    Failed(Error::not_found(format!("no such path: {}", uri.path())))
}

async fn no_such_method(method: Method, uri: Uri) -> Failed {
    Failed(Error::new(
        ErrorKind::InvalidArgument,
        format!("method {method} is not possible on {}", uri.path()),
    ))
}
