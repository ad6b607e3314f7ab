//! What makes no sense is refused before anything is made.

use std::collections::BTreeSet;

use gantry_model::container::ContainerSpec;
use gantry_model::image::ImageDetails;
use gantry_model::mount::{MountSource, MountSpec};
use gantry_model::{Error, Result};

use crate::EngineConfig;

/// The smallest memory limit under which a process can be started, in bytes.
const MIN_MEMORY: i64 = 6 * 1024 * 1024;

/// Answers warnings for the user.
///
/// # Errors
/// `InvalidArgument`, `Unimplemented`, each naming the option.
pub(crate) fn container(
    config: &EngineConfig,
    spec: &ContainerSpec,
    image: &ImageDetails,
) -> Result<Vec<String>> {
    handler(config, &spec.handler)?;
    if spec.init {
        return Err(Error::unimplemented(
            "an init process in the container (--init) is not supported yet",
        ));
    }
    command(spec, image)?;
    resources(config, spec)?;
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
    let mut warnings = Vec::new();
    if config.cgroup_version == 2 && spec.resources.memory_swap > 0 && spec.resources.memory == 0 {
        warnings.push("a swap limit without a memory limit has no effect".to_owned());
    }
    Ok(warnings)
}

/// # Errors
/// `InvalidArgument` naming the handler.
pub(crate) fn handler(config: &EngineConfig, name: &str) -> Result<()> {
    let built_in = matches!(name, "" | "gantry");
    if built_in || config.handlers.iter().any(|known| known == name) {
        if built_in {
            return Ok(());
        }
        return Err(Error::unimplemented(format!(
            "handler {name}: other OCI runtimes are not supported yet"
        )));
    }
    Err(Error::invalid(format!(
        "unknown or invalid runtime name: {name}"
    )))
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

fn resources(config: &EngineConfig, spec: &ContainerSpec) -> Result<()> {
    let r = &spec.resources;
    if r.memory != 0 && r.memory < MIN_MEMORY {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if r.memory > 0 && r.memory_swap > 0 && r.memory_swap < r.memory {
        return Err(Error::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if r.memory > 0 && r.memory_reservation > r.memory {
        return Err(Error::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    let all = i64::from(config.cpus) * 1_000_000_000;
    if r.nano_cpus < 0 || r.nano_cpus > all {
        let cpus = config.cpus;
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if r.nano_cpus > 0 && (r.cpu_quota > 0 || r.cpu_period > 0) {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set",
        ));
    }
    if r.cpu_period != 0 && !(1_000..=1_000_000).contains(&r.cpu_period) {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if r.cpu_quota > 0 && r.cpu_quota < 1_000 {
        return Err(Error::invalid(
            "CPU cfs quota can not be less than 1ms (i.e. 1000)",
        ));
    }
    if !(-1000..=1000).contains(&r.oom_score_adj) {
        return Err(Error::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            r.oom_score_adj
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
