//! The rules themselves, as functions of a file's name and text. They touch no disk, so that each can be tested.

use std::path::Path;

use crate::Finding;

/// Longest file, not counting tests.
pub(super) const MAX_FILE: usize = 600;
/// Longest function.
pub(super) const MAX_FN: usize = 100;
/// Longest inline test module; longer ones get a file of their own.
pub(super) const MAX_INLINE_TESTS: usize = 150;

const VAGUE: [&str; 6] = [
    "utils",
    "util",
    "common",
    "helpers",
    "misc",
    "manager_inner",
];

/// All rules for one Rust file.
pub(super) fn source(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = name(file);
    if !text.starts_with("//!") {
        findings.push(Finding::new(
            file,
            "start with `//!`: what the file is for and what it must not do",
        ));
    }
    findings.extend(length(file, text));
    findings.extend(functions(file, text));
    findings.extend(reasons(file, text));
    findings
}

/// Words that must not appear anywhere in the tree.
pub(super) fn words(file: &str, text: &str, banned: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in banned {
            if line.contains(word.as_str()) {
                findings.push(Finding::new(
                    at(file, number),
                    "names something of your own machine or place",
                ));
            }
        }
    }
    findings
}

fn name(file: &str) -> Vec<Finding> {
    let path = Path::new(file);
    let mut findings = Vec::new();
    if path.file_name().is_some_and(|n| n == "mod.rs") {
        findings.push(Finding::new(
            file,
            "write `foo.rs` + `foo/`, not `foo/mod.rs`",
        ));
    }
    for part in path.with_extension("").components() {
        let part = part.as_os_str().to_string_lossy();
        if VAGUE.contains(&part.as_ref()) {
            findings.push(Finding::new(
                file,
                format!("`{part}` says nothing: name the file after what is in it"),
            ));
        }
    }
    findings
}

fn is_test_file(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/") || file.starts_with("integration/")
}

fn length(file: &str, text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = inline_tests(&lines);
    let mut findings = Vec::new();
    let code = lines.len() - tests.map_or(0, |start| lines.len() - start);
    if code > MAX_FILE && !is_test_file(file) {
        findings.push(Finding::new(
            file,
            format!("{code} lines without tests, at most {MAX_FILE}"),
        ));
    }
    if let Some(start) = tests
        && lines.len() - start > MAX_INLINE_TESTS
    {
        let stem = file.trim_end_matches(".rs");
        findings.push(Finding::new(
            at(file, start),
            format!(
                "{} lines of inline tests: move them to {stem}/tests.rs",
                lines.len() - start
            ),
        ));
    }
    findings
}

/// The line where the inline test module begins, if it is the last thing in the file.
fn inline_tests(lines: &[&str]) -> Option<usize> {
    let start = lines.iter().rposition(|l| l.starts_with("#[cfg(test)]"))?;
    let opens = lines[start..]
        .iter()
        .take(6)
        .any(|l| l.starts_with("mod ") && l.ends_with('{'));
    opens.then_some(start)
}

fn functions(file: &str, text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if !begins_function(line.trim_start()) {
            continue;
        }
        // A declaration over several lines has no body: its closing parenthesis ends with a semicolon.
        let parenthesis = format!("{})", " ".repeat(indent));
        let ends = lines[number..].iter().find(|l| l.starts_with(&parenthesis));
        let opens = lines[number].ends_with('(');
        if opens && ends.is_some_and(|l| l.ends_with(';')) {
            continue;
        }
        // rustfmt closes a function at its own indentation, and nothing before that at the same one.
        let closing = format!("{}}}", " ".repeat(indent));
        let Some(end) = lines[number..].iter().position(|l| *l == closing) else {
            continue;
        };
        if end + 1 > MAX_FN {
            findings.push(Finding::new(
                at(file, number),
                format!("function of {} lines, at most {MAX_FN}", end + 1),
            ));
        }
    }
    findings
}

fn begins_function(line: &str) -> bool {
    let mut rest = line;
    loop {
        if rest.starts_with("fn ") {
            // A declaration in a trait has no body.
            return !line.ends_with(';');
        }
        let Some((word, tail)) = rest.split_once(' ') else {
            return false;
        };
        let qualifier = word.starts_with("pub")
            || ["async", "const", "unsafe", "extern", "\"C\""].contains(&word);
        if !qualifier {
            return false;
        }
        rest = tail;
    }
}

/// `#[ignore]` and `#[allow]` say why.
fn reasons(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line == concat!("#[", "ignore]") {
            findings.push(Finding::new(
                at(file, number),
                "an ignored test says why: `#[ignore = \"…\"]`",
            ));
        }
    }
    findings
}

fn at(file: &str, number: usize) -> String {
    format!("{file}:{}", number + 1)
}
