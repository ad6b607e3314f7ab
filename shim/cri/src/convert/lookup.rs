//! Finds the object a request names.

use std::sync::Arc;

use gantry_model::container::Container;
use gantry_model::image::Origin;
use gantry_model::sandbox::Sandbox;
use gantry_model::{Error, ErrorKind, Result};

use crate::Door;

/// A container of this door, by id or unambiguous prefix.
///
/// # Errors
/// `InvalidArgument` for an empty id, `NotFound`.
pub(crate) fn container(door: &Door, id: &str) -> Result<Arc<Container>> {
    if id.is_empty() {
        return Err(Error::invalid("container_id is empty"));
    }
    door.engine.find_container(Some(Origin::Cri), id)
}

/// A pod's sandbox, by id or unambiguous prefix.
///
/// # Errors
/// As [`container`].
pub(crate) fn sandbox(door: &Door, id: &str) -> Result<Arc<Sandbox>> {
    if id.is_empty() {
        return Err(Error::invalid("pod_sandbox_id is empty"));
    }
    door.engine.find_sandbox(id)
}

/// `None` for what is not there: where CRI wants the removal of nothing to succeed.
pub(crate) fn optional<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a success of "it is so already", for the calls CRI wants idempotent.
pub(crate) fn idempotent(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if matches!(error.kind, ErrorKind::NotModified | ErrorKind::NotFound) => Ok(()),
        other => other,
    }
}

/// Makes a success of "it is so already", but not of "it is gone".
pub(crate) fn not_modified_is_done(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind == ErrorKind::NotModified => Ok(()),
        other => other,
    }
}
