//! The instance's random id: marks what belongs to it, and is kept in its root.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::machine::random;

/// Reads the id, or makes one at the first start.
///
/// # Errors
/// The root cannot be read or written.
pub(crate) fn load(root: &Path) -> Result<String> {
    let path = root.join("instance-id");
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().len() == 32 => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("read {}", path.display()));
        }
        // A file cut short by a power failure names nothing yet: nothing was made before it was whole.
        _ => {}
    }
    let id: String = random()?[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let temporary = root.join("instance-id.new");
    let mut file =
        fs::File::create(&temporary).with_context(|| format!("make {}", temporary.display()))?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    gantry_fault::pass("daemon.identity.before-rename");
    fs::rename(&temporary, &path).with_context(|| format!("write {}", path.display()))?;
    fs::File::open(root)?.sync_all()?;
    Ok(id)
}
