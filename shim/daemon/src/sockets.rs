//! The doors' sockets: path sockets with their modes, made when the truth is known.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::unistd::{Gid, Group, chown};
use tokio::net::UnixListener;

/// Listens at the path. What lies there is a dead gantryd's: the run folder's lock is ours.
///
/// # Errors
/// The socket cannot be made, or its group does not exist.
pub(crate) fn listen(path: &Path, mode: u32, group: Option<Gid>) -> Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        _ => {}
    }
    // Bound under another name, so that nobody sees it before it has its mode.
    let hidden = path.with_extension("new");
    let _ = fs::remove_file(&hidden);
    let listener =
        UnixListener::bind(&hidden).with_context(|| format!("listen at {}", path.display()))?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(mode))?;
    if let Some(group) = group {
        chown(&hidden, None, Some(group))
            .with_context(|| format!("give {} to its group", path.display()))?;
    }
    gantry_fault::pass("daemon.socket.before-rename");
    fs::rename(&hidden, path).with_context(|| format!("name {}", path.display()))?;
    Ok(listener)
}

/// # Errors
/// Names the group that does not exist.
pub(crate) fn group(name: &str) -> Result<Option<Gid>> {
    if name.is_empty() {
        return Ok(None);
    }
    let found = Group::from_name(name).with_context(|| format!("look up group {name}"))?;
    let group =
        found.with_context(|| format!("sockets.group = {name:?}: there is no such group"))?;
    Ok(Some(group.gid))
}
