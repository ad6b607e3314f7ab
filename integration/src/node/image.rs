//! The image of the tests, made once from the host's static busybox.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

use crate::paths;

/// The archive's path. It is kept between runs: it depends on the host's busybox only.
pub(super) fn busybox() -> Result<PathBuf> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| make().map_err(|e| format!("{e:#}")))
        .clone()
        .map_err(|e| anyhow!(e))
}

fn make() -> Result<PathBuf> {
    let out = paths::build().join("busybox.tar");
    let script = paths::tree().join("hack/busybox-image");
    let ran = Command::new(script)
        .arg(&out)
        .output()
        .context("run hack/busybox-image")?;
    if !ran.status.success() {
        bail!(
            "hack/busybox-image: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    Ok(out)
}
