//! Removing a group where somebody else has made it: other runtimes place their containers under every hierarchy of
//! v1, named ones and the empty v2 one beside them too, which a [`super::Group`] never touches.

use super::remove_tree;
use crate::error::Result;
use crate::mount::table;
use std::path::Path;

/// Removes `path` (relative, without `..`) and what is below it from every mounted cgroup hierarchy. What is not there
/// is fine.
///
/// # Errors
/// EBUSY while a process is in it; the other hierarchies are cleared all the same.
pub fn remove_everywhere(path: &str) -> Result<()> {
    let path = path.trim_matches('/');
    if path.split('/').any(|p| matches!(p, "" | "." | "..")) {
        return Ok(());
    }
    let mut first = Ok(());
    for entry in table()? {
        if matches!(entry.kind.as_str(), "cgroup" | "cgroup2") {
            let done = remove_tree(&Path::new(&entry.target).join(path));
            if first.is_ok() {
                first = done;
            }
        }
    }
    first
}
