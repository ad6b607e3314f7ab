//! From the model's container and an image's configuration to the runtime-spec configuration. Pure: no file is read
//! and no kernel is asked here.

mod input;

pub use input::{Bind, ExecInput, HostFacts, Input};

use gantry_model::{Error, Result};

/// The runtime-spec configuration (`config.json`) of one container as JSON text.
///
/// # Errors
/// `InvalidArgument` naming the option that makes no sense (unknown capability, empty command: `no command specified`,
/// profile that does not parse…), `FailedPrecondition` for what the host lacks.
pub fn container_config(input: &Input<'_>) -> Result<String> {
    let _ = input;
    Err(Error::unimplemented("runtime configuration"))
}

/// The runtime-spec `process` object of an exec as JSON text: the container's environment, user, capabilities and
/// filter unless the exec says otherwise.
///
/// # Errors
/// As [`container_config`].
pub fn exec_process(input: &Input<'_>, exec: &ExecInput<'_>) -> Result<String> {
    let _ = (input, exec);
    Err(Error::unimplemented("exec process"))
}
