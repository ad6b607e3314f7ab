//! Docker's own plugins, of which a Gantry has none: its drivers are shared libraries, shown by info.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, ok};

/// `GET /plugins`: none.
pub(crate) async fn list(_: Arc<DockerDoor>, _: Req) -> Answer {
    ok(&json!([]))
}

/// `GET /plugins/{name}/json`: `docker inspect` asks here last, for a name nothing else has.
pub(crate) async fn inspect(_: Arc<DockerDoor>, req: Req) -> Answer {
    Err(Failure::new(
        StatusCode::NOT_FOUND,
        format!("plugin \"{}\" not found", req.id()),
    ))
}
