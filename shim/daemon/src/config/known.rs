//! Which keys there are: those of the embedded defaults.

use anyhow::{Result, bail};

/// Tables whose keys are the user's.
const FREE: [&str; 2] = ["plugins.settings", "handlers"];

/// # Errors
/// Names the first unknown key and the nearest known one.
pub(crate) fn check(defaults: &toml::Table, given: &toml::Table) -> Result<()> {
    walk(defaults, given, "")
}

fn walk(defaults: &toml::Table, given: &toml::Table, prefix: &str) -> Result<()> {
    for (key, value) in given {
        let path = format!("{prefix}{key}");
        match defaults.get(key) {
            None => match nearest(defaults, key) {
                Some(near) => bail!("unknown key `{path}`; did you mean `{prefix}{near}`?"),
                None => bail!("unknown key `{path}`"),
            },
            Some(toml::Value::Table(inner)) if !FREE.contains(&path.as_str()) => match value {
                toml::Value::Table(given) => walk(inner, given, &format!("{path}."))?,
                _ => bail!("`{path}` is a section: write [{path}]"),
            },
            Some(_) => {}
        }
    }
    Ok(())
}

fn nearest<'a>(known: &'a toml::Table, key: &str) -> Option<&'a str> {
    let scored = known
        .keys()
        .map(|name| (strsim::damerau_levenshtein(name, key), name.as_str()));
    scored.min().map(|(_, name)| name)
}
