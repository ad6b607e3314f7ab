//! `GET /version`.

use std::sync::Arc;

use serde_json::json;

use crate::door::DockerDoor;
use crate::host;
use crate::request::Req;
use crate::response::{Answer, ok};
use crate::version::NEWEST;

/// Which software answers, in which versions.
pub(crate) async fn version(door: Arc<DockerDoor>, _: Req) -> Answer {
    let config = &door.config;
    ok(&json!({
        "Platform": { "Name": "Gantry" },
        "Components": [{
            "Name": "Engine",
            "Version": config.server_version,
            "Details": {
                "ApiVersion": NEWEST.to_string(),
                "Arch": host::architecture(),
                "BuildTime": "",
                "Experimental": "false",
                "GitCommit": config.git_commit,
                "GoVersion": "",
                "KernelVersion": door.host.kernel,
                "MinAPIVersion": config.min_api.to_string(),
                "Os": "linux",
            },
        }],
        "Version": config.server_version,
        "ApiVersion": NEWEST.to_string(),
        "MinAPIVersion": config.min_api.to_string(),
        "GitCommit": config.git_commit,
        "GoVersion": "",
        "Os": "linux",
        "Arch": host::architecture(),
        "KernelVersion": door.host.kernel,
        "BuildTime": "",
    }))
}
