//! What makes no sense is refused before anything is made.

use std::collections::BTreeSet;

use gantry_model::container::{ContainerSpec, Resources};
use gantry_model::image::ImageDetails;
use gantry_model::mount::{MountSource, MountSpec};
use gantry_model::{Error, Result};

use crate::{EngineConfig, handler};

/// Refuses what makes no sense whatever the host.
///
/// # Errors
/// `InvalidArgument`, `Unimplemented`, each naming the option.
pub(crate) fn container(
    config: &EngineConfig,
    spec: &ContainerSpec,
    image: &ImageDetails,
) -> Result<()> {
    handler::check(config, &spec.handler)?;
    if spec.init {
        return Err(Error::unimplemented(
            "an init process in the container (--init) is not supported yet",
        ));
    }
    command(spec, image)?;
    resources(config, &spec.resources)?;
    if spec.auto_remove && spec.restart.policy != gantry_model::policy::RestartPolicy::No {
        return Err(Error::invalid(
            "can't create 'AutoRemove' container with restart policy",
        ));
    }
    mounts(&spec.mounts)?;
    if !spec.process.cwd.is_empty() && !spec.process.cwd.starts_with('/') {
        let cwd = &spec.process.cwd;
        return Err(Error::invalid(format!(
            "the working directory '{cwd}' is invalid, it needs to be an absolute path"
        )));
    }
    if !spec.stop_signal.is_empty() {
        crate::signal::parse(&spec.stop_signal)?;
    }
    if spec.hostname.len() > 64
        || spec
            .hostname
            .contains(|c: char| c.is_whitespace() || c == '/')
    {
        return Err(Error::invalid(format!(
            "invalid hostname: {:?}",
            spec.hostname
        )));
    }
    Ok(())
}

fn command(spec: &ContainerSpec, image: &ImageDetails) -> Result<()> {
    let process = &spec.process;
    let entrypoint = process
        .entrypoint
        .as_ref()
        .or(image.config.entrypoint.as_ref());
    let cmd = match (&process.entrypoint, &process.cmd) {
        (_, Some(cmd)) => Some(cmd),
        (Some(_), None) => None,
        (None, None) => image.config.cmd.as_ref(),
    };
    let empty = |list: Option<&Vec<String>>| list.is_none_or(|list| list.is_empty());
    if empty(entrypoint) && empty(cmd) {
        return Err(Error::invalid("no command specified"));
    }
    Ok(())
}

/// What depends on the host; the rest is the runtime configuration's to refuse.
///
/// # Errors
/// `InvalidArgument` naming the limit.
pub(crate) fn resources(config: &EngineConfig, resources: &Resources) -> Result<()> {
    let cpus = config.cpus;
    if resources.nano_cpus > i64::from(cpus) * 1_000_000_000 {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    Ok(())
}

fn mounts(mounts: &[MountSpec]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for mount in mounts {
        let target = &mount.target;
        if !target.starts_with('/') {
            return Err(Error::invalid(format!(
                "invalid mount path: '{target}' mount path must be absolute"
            )));
        }
        if target.trim_matches('/').is_empty() {
            return Err(Error::invalid(
                "invalid specification: destination can't be '/'",
            ));
        }
        if target.split('/').any(|part| part == "..") {
            return Err(Error::invalid(format!(
                "invalid mount path: '{target}' must not contain '..'"
            )));
        }
        if !seen.insert(target.trim_end_matches('/')) {
            return Err(Error::invalid(format!("Duplicate mount point: {target}")));
        }
        if let MountSource::Bind { path, .. } = &mount.source
            && !path.starts_with('/')
        {
            return Err(Error::invalid(format!(
                "invalid mount config for type \"bind\": invalid mount path: '{path}' mount path must be absolute"
            )));
        }
    }
    Ok(())
}
