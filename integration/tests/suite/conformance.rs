//! The drivers that are shipped keep the rules of their kinds, as root, from the build under test.

use anyhow::{Context, Result, ensure};
use gantry_integration::{cases, paths};

cases![every_driver_keeps_the_rules_of_its_kind];

/// One after the other: their networks carry the same instance's name.
fn every_driver_keeps_the_rules_of_its_kind() -> Result<()> {
    let mut tried = 0;
    for entry in std::fs::read_dir(paths::build().join("plugins"))? {
        let path = entry?.path();
        let file = path
            .file_name()
            .context("a file has a name")?
            .to_string_lossy();
        let kind = match file.trim_start_matches("libgantry_").split('_').next() {
            Some("snapshot") => "snapshotter",
            Some("network") => "network",
            _ => "volume",
        };
        let report = gantry_conformance::run(kind, &path)?;
        ensure!(report.broken.is_empty(), "{file}: {:#?}", report.broken);
        ensure!(report.kept.len() >= 8, "{file}: {:#?}", report.not_for);
        tried += 1;
    }
    ensure!(tried >= 6, "only {tried} plugins in the build");
    Ok(())
}
