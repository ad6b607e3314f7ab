//! Containers: one file per verb.

pub(crate) mod attach;
pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod pause;
pub(crate) mod prune;
pub(crate) mod remove;
pub(crate) mod rename;
pub(crate) mod resize;
pub(crate) mod restart;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod wait;

use std::sync::Arc;

use gantry_model::container::Container;

use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::Failure;

/// The container named in the path.
///
/// # Errors
/// 404 `No such container: …`, 400 for an ambiguous prefix.
pub(crate) fn named(door: &DockerDoor, req: &Req) -> Result<Arc<Container>, Failure> {
    Ok(door.engine.find_container(door.shown(), req.id())?)
}
