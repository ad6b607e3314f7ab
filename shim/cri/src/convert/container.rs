//! A container's configuration to the model's spec.

use gantry_cri_api::v1;
use gantry_model::container::{ContainerSpec, DeviceSpec, LogSpec, ProcessSpec, SeccompSpec};
use gantry_model::sandbox::PodSpec;
use gantry_model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{mount, namespace, path, resources, security, signal, sorted};

/// What the door keeps beside the spec, to answer with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DoorData {
    /// The image as the pod's author wrote it; what people are shown.
    #[serde(default)]
    pub(crate) user_specified_image: String,
}

impl DoorData {
    /// Reads what a record holds; nothing that is damaged hides the container.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(crate) fn write(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::internal(format!("write a container's door data: {e}")))
    }
}

/// Reads the configuration, but for its metadata.
///
/// # Errors
/// `InvalidArgument`, `Unimplemented` for options not served yet; both name the option.
pub(crate) fn spec(
    config: v1::ContainerConfig,
    pod: &PodSpec,
    seccomp: SeccompSpec,
    selinux_on: bool,
) -> Result<ContainerSpec> {
    if config.windows.is_some() {
        return Err(Error::invalid("config.windows is given on linux"));
    }
    if let Some(device) = config.cdi_devices.first() {
        return Err(Error::unimplemented(format!(
            "CDI device {:?} is not served yet",
            device.name
        )));
    }
    let image = config.image.map(|image| image.image).unwrap_or_default();
    if image.is_empty() {
        return Err(Error::invalid("config.image.image is empty"));
    }
    let log = path::log(&pod.log_directory, &config.log_path)?;
    let linux = config.linux.unwrap_or_default();
    let context = linux.security_context.unwrap_or_default();
    let mut confinement = security::spec(&context, seccomp, pod.privileged, selinux_on)?;
    confinement.devices = config
        .devices
        .into_iter()
        .map(device)
        .collect::<Result<_>>()?;
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    Ok(ContainerSpec {
        image,
        process: ProcessSpec {
            entrypoint: some(config.command),
            cmd: some(config.args),
            env: config.envs.into_iter().map(env).collect::<Result<_>>()?,
            cwd: config.working_dir,
            user: security::user(&context)?,
            terminal: config.tty,
            stdin: config.stdin,
            stdin_once: config.stdin_once,
        },
        mounts: config
            .mounts
            .into_iter()
            .map(|given| mount::spec(given, selinux_on))
            .collect::<Result<_>>()?,
        host_pid: namespace::container(context.namespace_options.as_ref(), pod)?,
        security: confinement,
        resources: resources::spec(linux.resources.unwrap_or_default())?,
        labels: sorted(config.labels),
        annotations: sorted(config.annotations),
        log: log.map_or(LogSpec::None, LogSpec::Cri),
        stop_signal: signal::to_text(config.stop_signal)?,
        handler: pod.handler.clone(),
        ..ContainerSpec::default()
    })
}

/// A name for lists and logs: readable, and unique because the pod's id and the attempt are in it. Empty (the engine
/// makes one up) where the metadata's own name has letters a container's name may not have.
pub(crate) fn name(metadata: &v1::ContainerMetadata, sandbox: &str) -> String {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let starts = metadata
        .name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if !starts || !metadata.name.bytes().all(fits) {
        return String::new();
    }
    format!("{}.{sandbox}.{}", metadata.name, metadata.attempt)
}

fn device(device: v1::Device) -> Result<DeviceSpec> {
    let host_path = path::absolute("device: host_path", &device.host_path)?;
    let container_path = match device.container_path.as_str() {
        "" => host_path.clone(),
        given => path::absolute("device: container_path", given)?,
    };
    let permissions = device.permissions;
    if permissions.is_empty() || !permissions.chars().all(|c| "rwm".contains(c)) {
        return Err(Error::invalid(format!(
            "device {host_path}: permissions {permissions:?} are not made of r, w and m"
        )));
    }
    Ok(DeviceSpec {
        host_path,
        container_path,
        permissions,
    })
}

fn env(pair: v1::KeyValue) -> Result<String> {
    if pair.key.is_empty() || pair.key.contains(['=', '\0']) {
        return Err(Error::invalid(format!(
            "envs: {:?} is no name of an environment variable",
            pair.key
        )));
    }
    let value = String::from_utf8(pair.value).map_err(|_| {
        Error::unimplemented(format!(
            "envs: the value of {} is not utf-8; that is not served yet",
            pair.key
        ))
    })?;
    if value.contains('\0') {
        return Err(Error::invalid(format!(
            "envs: the value of {} has a zero byte",
            pair.key
        )));
    }
    Ok(format!("{}={value}", pair.key))
}

#[cfg(test)]
mod tests;
