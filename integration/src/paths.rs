//! Where the build under test lies.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The top of the source tree.
#[must_use]
pub fn tree() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("this crate is a folder of the tree")
        .to_path_buf()
}

/// The assembled build: `target/gantry`, or what `GANTRY_BUILD` names.
#[must_use]
pub fn build() -> PathBuf {
    if let Some(folder) = std::env::var_os("GANTRY_BUILD") {
        return folder.into();
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| tree().join("target"), PathBuf::from);
    target.join("gantry")
}

/// One of its programs.
///
/// # Errors
/// If it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = build().join("bin").join(name);
    if !path.is_file() {
        bail!("{} is not there: run hack/build first", path.display());
    }
    Ok(path)
}
