//! Finding points in a source text, and their names in a binary. No disk.

const CALLS: [&str; 2] = ["gantry_fault::point(", "gantry_fault::pass("];

/// Every call of a point in a text: the line, and the name or what is wrong with it.
pub(super) fn calls(text: &str) -> Vec<(usize, Result<String, String>)> {
    let mut found = Vec::new();
    for call in CALLS {
        for (at, _) in text.match_indices(call) {
            let line = text[..at].lines().count().max(1);
            let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
            if text[start..at].contains("//") {
                continue;
            }
            found.push((line, name(&text[at + call.len()..])));
        }
    }
    // A name that is imported hides its calls from this list.
    for (line, text) in text.lines().enumerate() {
        if text.trim_start().starts_with("use gantry_fault::") {
            found.push((
                line + 1,
                Err("write `gantry_fault::point(…)` in full where it stands".to_owned()),
            ));
        }
    }
    found.sort();
    found
}

/// The literal an argument list begins with.
fn name(arguments: &str) -> Result<String, String> {
    let literal = arguments
        .trim_start()
        .strip_prefix('"')
        .and_then(|rest| rest.split_once('"'))
        .map(|(name, _)| name)
        .ok_or("a fault point is named by a literal: the list is read from the source")?;
    let part = |p: &str| {
        !p.is_empty()
            && p.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
    };
    let parts: Vec<&str> = literal.split('.').collect();
    if parts.len() < 2 || !parts.iter().all(|p| part(p)) {
        return Err(format!(
            "`{literal}`: a fault point is named `crate.step.before-x` in lower case"
        ));
    }
    Ok(literal.to_owned())
}

/// Those of the names that stand in a binary as they are, with nothing of a longer name around them.
pub(super) fn carried<'a>(bytes: &[u8], names: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    // Each name once over the whole of a binary would take minutes: look at its words instead.
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let mut runs: Vec<&[u8]> = bytes
        .split(|b| !word(b))
        .filter(|run| run.len() > 4 && run.contains(&b'.'))
        .collect();
    runs.sort_unstable();
    runs.dedup();
    // Literals lie end to end in a binary, so a name may be a part of a run only.
    names
        .map(String::as_str)
        .filter(|name| {
            runs.iter()
                .any(|run| run.windows(name.len()).any(|w| w == name.as_bytes()))
        })
        .collect()
}
