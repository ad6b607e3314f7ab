//! Fault points: which there are, that each name stands in one place, and that a release carries none of them.
//!
//! `hack/chaos` compares the list with the points its run has passed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use crate::Finding;

mod scan;
#[cfg(test)]
mod tests;

/// The crate that makes the points; what its own text says of them is no point.
const CRATE: &str = "shim/fault/";

/// Names with the places they stand at.
pub(crate) type Points = BTreeMap<String, Vec<String>>;

/// Every point of the tree, and what is wrong with them.
pub(crate) fn points(root: &Path) -> Result<(Points, Vec<Finding>)> {
    let mut points = Points::new();
    let mut findings = Vec::new();
    for file in crate::files(root, ".rs")? {
        if file.starts_with(CRATE) || file.starts_with("hack/") || file.starts_with("integration/")
        {
            continue;
        }
        let text =
            std::fs::read_to_string(root.join(&file)).with_context(|| format!("read {file}"))?;
        for (line, found) in scan::calls(&text) {
            let place = format!("{file}:{line}");
            match found {
                Ok(name) => points.entry(name).or_default().push(place),
                Err(text) => findings.push(Finding::new(place, text)),
            }
        }
    }
    for (name, places) in points.iter().filter(|(_, places)| places.len() > 1) {
        findings.push(Finding::new(
            places.join(", "),
            format!("the fault point `{name}` stands in more than one place: name each by itself"),
        ));
    }
    Ok((points, findings))
}

/// What is wrong with the points of the source.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    Ok(points(root)?.1)
}

/// Programs and libraries below a folder that carry a point's name.
pub(crate) fn absent(root: &Path, build: &Path) -> Result<Vec<Finding>> {
    let (points, mut findings) = points(root)?;
    let mut looked = 0;
    for folder in ["bin", "plugins"] {
        let folder = build.join(folder);
        for entry in std::fs::read_dir(&folder).with_context(|| format!("read {folder:?}"))? {
            let path = entry?.path();
            let bytes = std::fs::read(&path).with_context(|| format!("read {path:?}"))?;
            looked += 1;
            for name in scan::carried(&bytes, points.keys()) {
                findings.push(Finding::new(
                    path.display().to_string(),
                    format!("carries the fault point `{name}`: releases have none"),
                ));
            }
        }
    }
    anyhow::ensure!(looked > 0, "nothing was built in {build:?}");
    Ok(findings)
}
