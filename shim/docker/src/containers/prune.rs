//! `POST /containers/prune`.

use std::sync::Arc;

use gantry_engine::RemoveContainer;
use gantry_model::Timestamp;
use gantry_model::filter::LabelSelector;
use gantry_model::image::Origin;
use serde_json::json;

use crate::convert::filters::Filters;
use crate::convert::{status_text, time};
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, ok};

/// Removes what does not run of Docker's, whatever is shown: kubelet removes its own. One that cannot be removed stays
/// and is logged; the others go.
pub(crate) async fn prune(door: Arc<DockerDoor>, req: Req) -> Answer {
    let filters = Filters::read(&req.query, &["label", "label!", "until"])?;
    let until = until(&filters)?;
    let _one = door.pruning.try_lock().map_err(|_| {
        Failure::new(
            http::StatusCode::CONFLICT,
            "a prune operation is already running",
        )
    })?;
    let mut deleted = Vec::new();
    let mut reclaimed = 0_u64;
    for container in door.engine.containers(Some(Origin::Docker)) {
        let labels = &container.spec.labels;
        let spared = filters.get("label!").is_some_and(|asked| {
            LabelSelector::parse(asked.iter().map(String::as_str)).matches(labels)
        });
        if status_text::runs(&container)
            || until.is_some_and(|until| container.created_at > until)
            || !filters.labels(labels)
            || spared
        {
            continue;
        }
        // For people only: one that cannot be measured goes all the same.
        let size = door.engine.container_usage(&container.id).await;
        let how = RemoveContainer::default();
        match door.engine.remove_container(&container.id, how).await {
            Ok(()) => {
                reclaimed = reclaimed.saturating_add(size.map_or(0, |usage| usage.bytes));
                deleted.push(container.id.to_string());
            }
            Err(error) => {
                tracing::warn!(container = %container.id, %error, "pruning a container");
            }
        }
    }
    let deleted = if deleted.is_empty() {
        serde_json::Value::Null
    } else {
        json!(deleted)
    };
    ok(&json!({ "ContainersDeleted": deleted, "SpaceReclaimed": reclaimed }))
}

/// The one time before which a container must have been made.
fn until(filters: &Filters) -> Result<Option<Timestamp>, Failure> {
    let Some(values) = filters.get("until") else {
        return Ok(None);
    };
    let mut values = values.iter();
    let (Some(text), None) = (values.next(), values.next()) else {
        return Err(Failure::bad_request("more than one until filter specified"));
    };
    let now = Timestamp::from_system(std::time::SystemTime::now());
    match time::ago(text) {
        Some(nanos) => Ok(Some(Timestamp(now.0.saturating_sub(nanos)))),
        None => time::parse("until", Some(text)),
    }
}
