//! Status: whether pods can run, and what each handler can do.

use gantry_cri_api::v1::{
    RuntimeCondition, RuntimeFeatures, RuntimeHandler, RuntimeHandlerFeatures, RuntimeStatus,
    StatusRequest, StatusResponse,
};
use gantry_model::Result;
use gantry_model::handler::Handler;

use crate::Door;

pub(crate) async fn handle(door: &Door, request: StatusRequest) -> Result<StatusResponse> {
    let info = door.engine.info();
    let network = if info.network_ready {
        condition("NetworkReady", true, "", "")
    } else {
        condition(
            "NetworkReady",
            false,
            "NetworkPluginNotReady",
            &info.network_reason,
        )
    };
    // Clients that find no entry, or none with features, take a handler for one of before these features existed.
    let handler = |name: &str, recursive_read_only_mounts| RuntimeHandler {
        name: name.to_owned(),
        features: Some(RuntimeHandlerFeatures {
            recursive_read_only_mounts,
            user_namespaces: false,
        }),
    };
    let others = info.config.handlers.iter();
    let handlers = std::iter::once(handler("", false))
        .chain(others.map(|h| handler(&h.runtime.name, h.recursive_read_only)))
        .collect();
    let mut response = StatusResponse {
        status: Some(RuntimeStatus {
            conditions: vec![condition("RuntimeReady", true, "", ""), network],
        }),
        runtime_handlers: handlers,
        features: Some(RuntimeFeatures::default()),
        ..Default::default()
    };
    if request.verbose {
        let config = serde_json::json!({
            "instance": info.config.instance,
            "root": info.config.root,
            "run": info.config.run,
            "snapshotter": info.config.snapshotter,
            "network": info.config.default_network,
            "cgroupDriver": info.config.cgroup_driver,
            "cgroupVersion": info.config.cgroup_version,
            "cgroupParent": info.config.cgroup_parent,
            "handlers": handlers_shown(&info.config.handlers),
        });
        response
            .info
            .insert("config".to_owned(), config.to_string());
    }
    Ok(response)
}

/// For people who ask for details.
fn handlers_shown(handlers: &[Handler]) -> serde_json::Value {
    let one = |h: &Handler| {
        let shown = serde_json::json!({
            "path": h.runtime.path,
            "options": h.runtime.options,
            "features": h.features,
            "problem": h.problem,
        });
        (h.runtime.name.clone(), shown)
    };
    serde_json::Value::Object(handlers.iter().map(one).collect())
}

fn condition(kind: &str, status: bool, reason: &str, message: &str) -> RuntimeCondition {
    RuntimeCondition {
        r#type: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}
