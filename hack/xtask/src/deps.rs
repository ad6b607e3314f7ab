//! Which crate may reach which. The arrows are those of docs/architecture.md; here they are checked on the graph that
//! `cargo metadata` resolves, so that a way round through a third crate is found as well.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::Finding;

mod graph;
mod rules;
mod unsafe_code;

/// Checks the arrows and the crates that may say `unsafe`.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let out = Command::new("cargo")
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    if !out.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    let graph = graph::Graph::parse(&out.stdout, root)?;
    let mut findings = rules::check(&graph);
    findings.extend(unsafe_code::check(root)?);
    Ok(findings)
}
