//! Clearing up after a supervisor that is dead: what still runs, its cgroups, its folder and its link. Done twice it is
//! done once.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use gantry_model::call::Call;
use gantry_model::{Error, Result, SandboxId};
use gantry_supervisor_proto::files::{self, LOCK, LOG, SOCKET, STATE};
use gantry_sys::Errno;
use gantry_sys::cgroup::{Group, Hierarchies, remove_everywhere};

use crate::service::{Config, blocking};
use crate::spawn;

/// Between two looks at a cgroup that is being emptied.
const AGAIN: Duration = Duration::from_millis(5);

/// # Errors
/// `Conflict` while the supervisor is alive; `DeadlineExceeded` when its processes do not end.
pub(crate) async fn discard(
    config: &Arc<Config>,
    call: &Call,
    id: &SandboxId,
    cgroup: &str,
) -> Result<()> {
    let folder = config.folder(id);
    if is_alive(&folder)? {
        return Err(Error::conflict("it is alive"));
    }
    let (work, own, cgroup) = (config.clone(), config.own_cgroup(id), cgroup.to_owned());
    let limit = tokio::time::Instant::now() + call.timeout;
    loop {
        let (own, cgroup) = (own.clone(), cgroup.clone());
        if blocking(move || empty(&[&cgroup, &own])).await? {
            break;
        }
        if tokio::time::Instant::now() > limit {
            return Err(Error::deadline("processes of its cgroup do not end"));
        }
        tokio::time::sleep(AGAIN).await;
    }
    let link = work.netns_link(id);
    blocking(move || {
        gantry_fault::point("supervisor-client.discard.before-files")?;
        gone(std::fs::remove_file(&link), &link)?;
        gone(remove_folder(&folder), &folder)?;
        gantry_fault::pass("supervisor-client.discard.after-files");
        Ok(())
    })
    .await
}

fn is_alive(folder: &std::path::Path) -> Result<bool> {
    let path = folder.join(LOCK);
    // Looked for first: opening fails for want of a descriptor also where there is nothing to open.
    if std::fs::symlink_metadata(&path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Ok(false);
    }
    match File::options().read(true).write(true).open(&path) {
        Ok(file) => files::is_locked(&file)
            .map_err(|e| Error::internal(format!("probe {}: {}", path.display(), e.desc()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(spawn::failed("open", &path)(e)),
    }
}

/// Removes a supervisor's folder, its own files by name: that works without a free descriptor too.
pub(crate) fn remove_folder(folder: &std::path::Path) -> io::Result<()> {
    for name in [
        LOCK,
        STATE,
        SOCKET,
        LOG,
        "state.json.new",
        "state.json.other",
    ] {
        // What is not there need not go; what cannot is told by the folder's removal.
        let _ = std::fs::remove_file(folder.join(name));
    }
    match std::fs::remove_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => std::fs::remove_dir_all(folder),
        other => other,
    }
}

/// Kills and removes; `false` when something is still ending.
fn empty(cgroups: &[&str]) -> Result<bool> {
    let failed = |e: gantry_sys::Error| Error::internal(e.to_string());
    let hierarchies = Hierarchies::detect().map_err(failed)?;
    for path in cgroups.iter().filter(|path| !path.is_empty()) {
        let group =
            Group::at(&hierarchies, path, &["cpuset", "blkio", "hugetlb"]).map_err(failed)?;
        if group.kill().map_err(failed)? > 0 {
            thaw_below(&hierarchies, &group);
            return Ok(false);
        }
        // Other runtimes place their containers under hierarchies that are none of ours.
        match group.remove().and_then(|()| remove_everywhere(path)) {
            Err(e) if e.errno() == Errno::EBUSY => return Ok(false),
            other => other.map_err(failed)?,
        }
    }
    Ok(true)
}

/// A container that was paused when its supervisor died: on v1 a frozen process does not die, and thawing the sandbox
/// does not thaw what was frozen by itself. What cannot be thawed is seen by the caller, whose loop does not end.
fn thaw_below(hierarchies: &Hierarchies, group: &Group) {
    let Some(entries) = group
        .dir("freezer")
        .and_then(|dir| std::fs::read_dir(dir).ok())
    else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let path = format!("{}/{}", group.path(), name.to_string_lossy());
        if entry.file_type().is_ok_and(|t| t.is_dir())
            && let Ok(child) = Group::at(hierarchies, &path, &[])
        {
            let _ = child.thaw();
            thaw_below(hierarchies, &child);
        }
    }
}

fn gone(done: io::Result<()>, path: &std::path::Path) -> Result<()> {
    match done {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::internal(format!("remove {}: {e}", path.display())))
        }
        _ => Ok(()),
    }
}
