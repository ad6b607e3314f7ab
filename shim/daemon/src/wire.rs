//! Puts the parts together.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use gantry_engine::{Engine, EngineConfig, Parts};
use gantry_model::driver::Drivers;
use gantry_model::handler::Handler;
use gantry_plugin_host::{HostConfig, PluginHost, Trust};
use gantry_supervisor_client::Supervisors;
use gantry_sys::cgroup::{Hierarchies, Version};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::config::Config;
use crate::machine::Machine;
use crate::{handlers, identity, lock};

/// Opens everything and finds out what is true. The doors may open when this returns.
///
/// # Errors
/// Whatever part cannot be opened, with what was tried.
pub(crate) async fn engine(config: &Config, plugin_dirs: &[PathBuf]) -> Result<Engine> {
    let random_id = identity::load(&config.root)?;
    for (path, mode) in [
        (config.root.join("content"), 0o700),
        (config.root.join("containers"), 0o711),
        (config.run.join("shims"), 0o700),
        (config.run.join("netns"), 0o711),
    ] {
        lock::make(&path, mode)?;
    }
    gantry_fault::pass("daemon.start.after-folders");
    // Beside the plugins: both wait for the disk, neither knows of the other.
    let database = config.root.join("gantry.redb");
    let store = tokio::task::spawn_blocking(move || {
        gantry_store::Store::open_with(&database, Some(allocate))
    });
    // Their binaries are asked meanwhile.
    let handlers = handlers::found(&config.handlers);
    let (drivers, late) = plugins(config, plugin_dirs, &random_id).await?;
    gantry_fault::pass("daemon.start.after-plugins");
    let images = gantry_image::Images::open(images(config)?, Arc::clone(&drivers))?;
    let supervisors = Supervisors::new(gantry_supervisor_client::Config {
        program: beside_us("gantry-shim")?,
        run: config.run.clone(),
        cgroup: format!("{}/supervisors", config.cgroup_parent()),
    });
    let parts = Parts {
        config: engine_config(config, random_id, handlers.await)?,
        store: store.await??,
        drivers,
        images: Arc::new(images),
        supervisors: Arc::new(supervisors),
        host: Arc::new(Machine),
    };
    gantry_fault::pass("daemon.start.after-store");
    let engine = Engine::open(parts).await?;
    gantry_fault::pass("daemon.start.after-recovery");
    if let Some(mut late) = late {
        let engine = engine.clone();
        tokio::spawn(async move {
            while let Some(result) = late.recv().await {
                engine.late_result(result);
            }
        });
    }
    Ok(engine)
}

/// Answers of plugins that came after their deadline.
type Late = Option<tokio::sync::mpsc::UnboundedReceiver<gantry_model::plugin::LateResult>>;

async fn plugins(
    config: &Config,
    more: &[PathBuf],
    random_id: &str,
) -> Result<(Arc<dyn Drivers>, Late)> {
    let mut host = HostConfig::new(&config.root, &config.instance, random_id);
    for dir in more {
        let dir = std::path::absolute(dir)?;
        host.folders.push((dir, Trust::Parents));
    }
    host.folders.extend(
        config
            .plugins
            .dirs
            .iter()
            .filter(|dir| dir.try_exists().unwrap_or(true))
            .map(|dir| (dir.clone(), Trust::Nothing)),
    );
    host.isolate = config.plugins.isolate.iter().cloned().collect();
    host.settings = config.plugins.settings.clone();
    host.deadline = config.plugins.deadline;
    host.runner = beside_us("gantry-plugin-runner").ok();
    let loaded = tokio::task::spawn_blocking(move || PluginHost::load(host)).await??;
    let late = loaded.late();
    Ok((loaded, late))
}

fn images(config: &Config) -> Result<gantry_image::Config> {
    let mut images =
        gantry_image::Config::new(config.root.join("content"), beside_us("gantry-helper")?);
    images.plain_http.clone_from(&config.registry.plain_http);
    images.helper_cgroup = Some(format!("{}/helpers", config.cgroup_parent()));
    images.parallel_downloads = config.registry.parallel_downloads;
    Ok(images)
}

fn engine_config(
    config: &Config,
    random_id: String,
    handlers: Vec<Handler>,
) -> Result<EngineConfig> {
    let hierarchies = Hierarchies::detect().context("find the cgroup hierarchies")?;
    let capabilities = gantry_sys::caps::bounding();
    Ok(EngineConfig {
        instance: config.instance.clone(),
        random_id,
        boot_id: boot_id()?,
        root: config.root.clone(),
        run: config.run.clone(),
        snapshotter: config.snapshotter.clone(),
        default_network: config.network.default.clone(),
        cgroup_parent: config.cgroup_parent(),
        handlers,
        cgroup_driver: config.cgroup.driver.clone(),
        capabilities,
        memory_total: memory_total(),
        cpus: std::thread::available_parallelism()
            .map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
        cgroup_version: if hierarchies.version() == Version::V2 {
            2
        } else {
            1
        },
    })
}

/// Blocks for a file that nobody else can take, beyond its end too.
fn allocate(file: &File, offset: u64, length: u64) -> std::io::Result<()> {
    let signed = |n: u64| i64::try_from(n).map_err(std::io::Error::other);
    match fallocate(
        file,
        FallocateFlags::FALLOC_FL_KEEP_SIZE,
        signed(offset)?,
        signed(length)?,
    ) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Err(std::io::ErrorKind::Unsupported.into()),
        other => Ok(other?),
    }
}

/// Bytes of memory of the host; zero where /proc does not say.
fn memory_total() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Our other binaries lie where we lie.
fn beside_us(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()
        .context("find our own binary")?
        .with_file_name(name);
    anyhow::ensure!(
        path.try_exists()?,
        "{} is missing: it belongs beside gantryd",
        path.display()
    );
    Ok(path)
}

/// Id of the machine's present boot; a test build may say another one.
fn boot_id() -> Result<String> {
    if let Some(id) = gantry_fault::instead("GANTRY_FAULT_BOOT_ID") {
        return Ok(id);
    }
    let path = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(id.trim().to_owned())
}
