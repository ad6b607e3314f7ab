//! Which OCI runtime makes a container: the built-in one, or a configured handler's.

use gantry_model::handler::{Handler, Runtime};
use gantry_model::{Error, Result};

use crate::EngineConfig;

/// What the built-in runtime is called where it needs a name.
const BUILT_IN: &str = "gantry";

/// A handler named by a client.
///
/// # Errors
/// `InvalidArgument` naming it, in Docker's words; `FailedPrecondition` when its binary was not usable at start-up.
pub(crate) fn check(config: &EngineConfig, name: &str) -> Result<()> {
    if matches!(name, "" | BUILT_IN) {
        return Ok(());
    }
    let known = find(config, name)
        .ok_or_else(|| Error::invalid(format!("unknown or invalid runtime name: {name}")))?;
    usable(known)
}

/// How the runtime of a container is called; `None`: it is the built-in one.
///
/// # Errors
/// `FailedPrecondition` when its handler is not configured any more, or not usable.
pub(crate) fn runtime(config: &EngineConfig, name: &str) -> Result<Option<Runtime>> {
    if matches!(name, "" | BUILT_IN) {
        return Ok(None);
    }
    let known = find(config, name).ok_or_else(|| {
        Error::failed_precondition(format!(
            "handler {name}, which the container was made for, is not configured any more"
        ))
    })?;
    usable(known)?;
    Ok(Some(known.runtime.clone()))
}

fn find<'a>(config: &'a EngineConfig, name: &str) -> Option<&'a Handler> {
    let mut handlers = config.handlers.iter();
    handlers.find(|handler| handler.runtime.name == name)
}

fn usable(handler: &Handler) -> Result<()> {
    if handler.problem.is_empty() {
        return Ok(());
    }
    Err(Error::failed_precondition(format!(
        "handler {} cannot be used: {}",
        handler.runtime.name, handler.problem
    )))
}
