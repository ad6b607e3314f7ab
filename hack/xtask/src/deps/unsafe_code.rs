//! `unsafe` is for four crates. The compiler's lint can be allowed away in a file; this check cannot.

use std::path::Path;

use anyhow::{Context, Result};

use crate::Finding;

const ALLOWED: [&str; 5] = [
    "shim/sys/",
    "plugins/abi/",
    "plugins/sdk/",
    "shim/plugin-loader/",
    "hack/xtask/",
];

/// Looks for the word in code, not in comments or strings.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in crate::files(root, ".rs")? {
        if ALLOWED.iter().any(|folder| file.starts_with(folder)) {
            continue;
        }
        let text =
            std::fs::read_to_string(root.join(&file)).with_context(|| format!("read {file}"))?;
        for (number, line) in text.lines().enumerate() {
            if says_unsafe(line) {
                findings.push(Finding::new(
                    format!("{file}:{}", number + 1),
                    "`unsafe` is for sys, abi, sdk and plugin-loader: put it behind a safe function there",
                ));
            }
        }
    }
    Ok(findings)
}

fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let outside_strings: String = code.split('"').step_by(2).collect();
    outside_strings
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == "unsafe" || word == "unsafe_code")
}

#[cfg(test)]
mod tests {
    use super::says_unsafe;

    #[test]
    fn the_word_counts_in_code_only() {
        assert!(says_unsafe("    let x = unsafe { f() };"));
        assert!(says_unsafe("#![allow(unsafe_code)]"));
        assert!(!says_unsafe("// unsafe"));
        assert!(!says_unsafe("say(\"unsafe\");"));
        assert!(!says_unsafe("let unsafely = 1;"));
    }
}
