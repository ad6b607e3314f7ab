//! One gantryd per root, per run folder and per instance.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::config::Config;

/// Held as long as this process lives.
#[derive(Debug)]
pub(crate) struct Locks(#[expect(dead_code, reason = "held, never read")] [File; 3]);

/// # Errors
/// Names what is taken, and by what kind of thing.
pub(crate) fn take(config: &Config) -> Result<Locks> {
    make(&config.root, 0o711)?;
    make(&config.run, 0o711)?;
    make(Path::new("/run/lock"), 0o755)?;
    let root = exclusive(
        &config.root.join("lock"),
        &format!("root folder {}", config.root.display()),
    )?;
    let run = exclusive(
        &config.run.join("lock"),
        &format!("run folder {}", config.run.display()),
    )?;
    let path = format!("/run/lock/gantry-{}.lock", config.instance);
    let instance = exclusive(
        Path::new(&path),
        &format!("instance name {:?}", config.instance),
    )?;
    Ok(Locks([root, run, instance]))
}

pub(crate) fn make(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("make folder {}", path.display()))
}

fn exclusive(path: &Path, what: &str) -> Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    if !gantry_sys::lock::try_exclusive(&file)
        .with_context(|| format!("lock {}", path.display()))?
    {
        bail!(
            "another gantryd uses the {what} (lock {}): stop it, or give this one a root, run folder and instance name \
             of its own",
            path.display()
        );
    }
    Ok(file)
}
