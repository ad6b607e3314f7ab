//! From the model's container and an image's configuration to the runtime-spec configuration. Pure: no file is read
//! and no kernel is asked here.
//!
//! Everything an image says is an attacker's text: it chooses command, environment, directory and user inside the
//! container and nothing outside.

mod capabilities;
mod input;
mod mounts;
mod process;
mod resources;
mod security;

pub use input::{Bind, ExecInput, HostFacts, Input};
pub use process::{command_line, environment};

use gantry_model::supervisor::{NamespaceMode, PidMode};
use gantry_model::{Error, Result};
use oci_spec::runtime::{
    Linux, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Process, Root, Spec,
};

/// The runtime-spec configuration (`config.json`) of one container as JSON text.
///
/// # Errors
/// `InvalidArgument` naming the option that makes no sense (unknown capability, empty command: `no command specified`,
/// profile that does not parse…), `FailedPrecondition` for what the host lacks.
pub fn container_config(input: &Input<'_>) -> Result<String> {
    json(&container_spec(input)?)
}

/// As [`container_config`], typed.
///
/// # Errors
/// As [`container_config`].
pub fn container_spec(input: &Input<'_>) -> Result<Spec> {
    let spec = &input.container.spec;
    let mut root = Root::default();
    root.set_path("rootfs".into())
        .set_readonly(Some(spec.security.read_only_rootfs));
    let mut made = Spec::default();
    made.set_version("1.2.0".into())
        .set_root(Some(root))
        .set_mounts(Some(mounts::all(input)?))
        .set_process(Some(process::first(input)?))
        .set_hostname(hostname(input))
        .set_domainname(
            Some(spec.domainname.clone())
                .filter(|d| !d.is_empty() && input.uts == NamespaceMode::Own),
        )
        .set_annotations(None)
        .set_linux(Some(linux(input)?));
    Ok(made)
}

/// The runtime-spec `process` object of an exec as JSON text: the container's environment, user, capabilities and
/// filter unless the exec says otherwise.
///
/// # Errors
/// As [`container_config`].
pub fn exec_process(input: &Input<'_>, exec: &ExecInput<'_>) -> Result<String> {
    let process: Process = process::exec(input, exec)?;
    json(&process)
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::internal(format!("write runtime configuration: {e}")))
}

fn hostname(input: &Input<'_>) -> Option<String> {
    (input.uts == NamespaceMode::Own && !input.hostname.is_empty())
        .then(|| input.hostname.to_owned())
}

fn linux(input: &Input<'_>) -> Result<Linux> {
    let security = &input.container.spec.security;
    let mut made = Linux::default();
    made.set_namespaces(Some(namespaces(input)))
        .set_resources(Some(resources::all(input)?))
        .set_devices(None)
        .set_seccomp(security::seccomp(input)?)
        .set_masked_paths(Some(security::masked_paths(security)))
        .set_readonly_paths(Some(security::readonly_paths(security)))
        // The sandbox sets them when it makes its namespaces, once for all of its containers.
        .set_sysctl(None)
        .set_cgroups_path(None);
    Ok(made)
}

/// Namespaces of its own; what the sandbox holds is entered by descriptor later, and listed here so that nothing is
/// shared with the host by accident.
fn namespaces(input: &Input<'_>) -> Vec<LinuxNamespace> {
    let mut kinds = vec![LinuxNamespaceType::Mount, LinuxNamespaceType::Cgroup];
    let own = [
        (
            input.network == NamespaceMode::Own,
            LinuxNamespaceType::Network,
        ),
        (input.ipc == NamespaceMode::Own, LinuxNamespaceType::Ipc),
        (input.uts == NamespaceMode::Own, LinuxNamespaceType::Uts),
        (input.pid == PidMode::Container, LinuxNamespaceType::Pid),
    ];
    kinds.extend(own.iter().filter(|(own, _)| *own).map(|(_, kind)| *kind));
    let one = |kind| {
        LinuxNamespaceBuilder::default()
            .typ(kind)
            .build()
            .expect("every field has a value")
    };
    kinds.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests;
