//! The suites against libraries of this tree: the good ones keep every rule, the bad ones are found out.
#![allow(clippy::unwrap_used)] // these are tests, helpers and all

use std::path::Path;

use gantry_conformance::{Report, run};

#[path = "../../fixtures/compile.rs"]
mod compile;

fn report(kind: &str, library: &Path) -> Report {
    run(kind, library).unwrap()
}

fn keeps_all(report: &Report) {
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    assert!(report.kept.len() > 10, "{:#?}", report.not_for);
}

#[test]
fn the_example_in_c_is_a_volume() {
    let folder = tempfile::tempdir().unwrap();
    keeps_all(&report(
        "volume",
        &compile::c_example(folder.path(), "volume-dir"),
    ));
}

#[test]
fn the_example_in_rust_is_a_volume() {
    let folder = tempfile::tempdir().unwrap();
    keeps_all(&report(
        "volume",
        &compile::cdylib(folder.path(), "gantry-example-volume-dir"),
    ));
}

#[test]
fn the_local_driver_is_a_volume() {
    let folder = tempfile::tempdir().unwrap();
    keeps_all(&report(
        "volume",
        &compile::cdylib(folder.path(), "gantry-volume-local"),
    ));
}

#[test]
fn the_native_driver_is_a_snapshotter() {
    let folder = tempfile::tempdir().unwrap();
    keeps_all(&report(
        "snapshotter",
        &compile::cdylib(folder.path(), "gantry-snapshot-native"),
    ));
}

#[test]
fn the_overlay_driver_is_a_snapshotter() {
    let folder = tempfile::tempdir().unwrap();
    keeps_all(&report(
        "snapshotter",
        &compile::cdylib(folder.path(), "gantry-snapshot-overlay"),
    ));
}

#[test]
fn a_bad_plugin_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let report = report(
        "volume",
        &compile::fixture(folder.path(), "bad.so", &["ERROR"]),
    );
    let broken: Vec<&str> = report.broken.iter().map(|(name, _)| *name).collect();
    assert!(broken.contains(&"create is idempotent"), "{broken:?}");
    assert!(
        broken.contains(&"every function refuses a field that must be understood and is not"),
        "{broken:?}"
    );
    let other = run("network", &folder.path().join("bad.so")).unwrap_err();
    assert!(other.to_string().contains("is a volume"), "{other}");
}
