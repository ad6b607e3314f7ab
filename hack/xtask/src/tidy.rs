//! How a source file has to look. Works on text alone: rustfmt has already fixed the layout it relies on.

use std::path::Path;

use anyhow::{Context, Result};

use crate::Finding;

mod rules;
#[cfg(test)]
mod tests;

/// Checks every file of the tree.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in crate::files(root, ".rs")? {
        let text = read(root, &file)?;
        findings.extend(rules::source(&file, &text));
    }
    let words = own_words(root);
    for file in crate::files(root, "")? {
        // Pictures and archives are not text; nothing is to be said about them.
        let Ok(text) = std::fs::read_to_string(root.join(&file)) else {
            continue;
        };
        findings.extend(rules::words(&file, &text, &words));
    }
    Ok(findings)
}

fn read(root: &Path, file: &str) -> Result<String> {
    std::fs::read_to_string(root.join(file)).with_context(|| format!("read {file}"))
}

/// Words that must not be committed, one a line, kept outside the tree in `.git/info/tidy-words`: names of the machine
/// or the place one works at. A list inside the tree would itself be a leak.
fn own_words(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join(".git/info/tidy-words")).unwrap_or_default();
    text.lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .map(str::to_owned)
        .collect()
}
