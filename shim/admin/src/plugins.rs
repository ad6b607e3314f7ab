//! `GET /v1/plugins`: what is loaded, from which file, how it is and what it is doing;
//! `POST /v1/plugins/KIND/NAME/release`: lifts a quarantine.

use axum::Json;
use axum::extract::{Path, State};
use gantry_model::Error;
use gantry_model::plugin::{PluginInfo, PluginKind};

use crate::Door;
use crate::answer::Failed;

pub(crate) async fn list(State(door): State<Door>) -> Json<Vec<PluginInfo>> {
    Json(door.engine.plugins())
}

pub(crate) async fn release(
    State(door): State<Door>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<PluginInfo>, Failed> {
    let kinds = [
        PluginKind::Snapshotter,
        PluginKind::Network,
        PluginKind::Volume,
    ];
    let known = kinds.into_iter().find(|known| known.as_str() == kind);
    let known = known.ok_or_else(|| {
        Error::invalid(format!(
            "{kind:?} is no kind of plugin; there are snapshotter, network and volume"
        ))
    })?;
    let engine = door.engine.clone();
    // The plugin is opened: foreign code.
    let released = tokio::task::spawn_blocking(move || engine.release_plugin(known, &name));
    let released = released.await.map_err(|error| {
        Error::internal(format!("lift the quarantine of a {kind} plugin: {error}"))
    })?;
    Ok(Json(released?))
}
