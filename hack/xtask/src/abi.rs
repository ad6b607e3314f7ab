//! The plugin header is C before it is anything else: it has to compile by itself, without a warning, as C and as C++.
//! Sizes and offsets are compared with the Rust mirror by a test of `gantry-abi`, not here.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::Finding;

const HEADER: &str = "plugins/abi/include/gantry_plugin.h";

/// Compiles the header alone in each dialect.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (language, standard) in [("c", "c99"), ("c", "c11"), ("c++", "c++17")] {
        let out = Command::new("cc")
            .args(["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .args(["-x", language, &format!("-std={standard}"), HEADER])
            .current_dir(root)
            .output()
            .context("run cc")?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            findings.push(Finding::new(
                HEADER,
                format!("does not compile as {standard}:\n{said}"),
            ));
        }
    }
    Ok(findings)
}
