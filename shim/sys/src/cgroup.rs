//! Control groups on v1 (hybrid too) and v2: make, limit, attach, read, freeze, kill, remove.
//!
//! A [`Group`] is a path below every hierarchy's mount; making the value touches nothing. Attaching goes two ways,
//! measured: on v1 a single-threaded child writes `0` to `tasks` itself (0.4 ms; `cgroup.procs` from outside waits
//! for a grace period, 9 ms), on v2 it is cloned into the directory (CLONE_INTO_CGROUP).

mod device;
mod device_bpf;
mod everywhere;
mod limits;
mod stats;
mod update;

pub use device::{DeviceKind, DeviceRule};
pub use everywhere::remove_everywhere;
pub use limits::Limits;
pub use stats::{BlockIo, Stats};

use crate::error::{Error, Result};
use crate::mount::{MountEntry, table};
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The v1 controllers a container is always placed under: what its limits, statistics, freezing and device rules need.
const BASE_V1: [&str; 7] = [
    "memory", "cpu", "cpuacct", "pids", "devices", "freezer", "blkio",
];

/// Which interface the host offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy per controller (also "hybrid", where an empty v2 hierarchy is mounted beside).
    V1,
    /// One hierarchy with all controllers.
    V2,
}

/// Where the hierarchies are mounted. Found once at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    version: Version,
    /// Controller name and mount point; for v2 one entry with an empty name.
    mounts: Vec<(String, PathBuf)>,
}

impl Hierarchies {
    /// Looks into /proc/self/mountinfo.
    ///
    /// # Errors
    /// ENOENT when no cgroup file system is mounted.
    pub fn detect() -> Result<Self> {
        Self::from_table(&table()?)
    }

    /// As [`Self::detect`], from a table.
    ///
    /// # Errors
    /// ENOENT when no cgroup file system is in it.
    pub fn from_table(table: &[MountEntry]) -> Result<Self> {
        let known = [
            "memory", "cpu", "cpuacct", "pids", "devices", "freezer", "cpuset", "blkio", "hugetlb",
        ];
        let mut mounts = Vec::new();
        for name in known {
            let has = |m: &&MountEntry| {
                m.kind == "cgroup" && m.super_options.split(',').any(|o| o == name)
            };
            if let Some(entry) = table.iter().find(has) {
                mounts.push((name.to_owned(), PathBuf::from(&entry.target)));
            }
        }
        if !mounts.is_empty() {
            return Ok(Self {
                version: Version::V1,
                mounts,
            });
        }
        let v2 = table.iter().find(|m| m.kind == "cgroup2");
        let v2 =
            v2.ok_or_else(|| Error::new("find a cgroup file system in mountinfo", Errno::ENOENT))?;
        Ok(Self {
            version: Version::V2,
            mounts: vec![(String::new(), PathBuf::from(&v2.target))],
        })
    }

    /// The interface in use.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Controllers with their mount points (v2: one entry, empty name).
    #[must_use]
    pub fn mounts(&self) -> &[(String, PathBuf)] {
        &self.mounts
    }
}

/// One group: a path below the hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    version: Version,
    path: String,
    /// Controller and directory.
    dirs: Vec<(String, PathBuf)>,
    /// Directories this group owns; for an exec's group on v1 only one, the others being its container's.
    own: Vec<PathBuf>,
}

impl Group {
    /// The group at `path` (relative, without `..`) under the controllers every container needs, and under those
    /// named in `extra` (`cpuset`, `blkio`, `hugetlb`) where the host has them. Touches nothing.
    ///
    /// # Errors
    /// EINVAL for a path that is empty, absolute after one leading slash was taken off, or climbs.
    pub fn at(hierarchies: &Hierarchies, path: &str, extra: &[&str]) -> Result<Self> {
        let path = path.trim_matches('/');
        if path.is_empty()
            || path
                .split('/')
                .any(|p| p.is_empty() || p == "." || p == "..")
        {
            return Err(Error::new(format!("name cgroup {path:?}"), Errno::EINVAL));
        }
        let v2 = hierarchies.version == Version::V2;
        let wanted = |name: &str| v2 || BASE_V1.contains(&name) || extra.contains(&name);
        let dirs: Vec<_> = hierarchies
            .mounts
            .iter()
            .filter(|(n, _)| wanted(n))
            .map(|(n, m)| (n.clone(), m.join(path)))
            .collect();
        let own = dirs.iter().map(|(_, d)| d.clone()).collect();
        Ok(Self {
            version: hierarchies.version,
            path: path.into(),
            dirs,
            own,
        })
    }

    /// A group for one more process of this one, so that its whole tree can be killed alone. On v1 it is a child in
    /// one hierarchy only; limits and statistics stay the parent's on both versions.
    ///
    /// # Errors
    /// EINVAL for a name with a slash.
    pub fn child(&self, name: &str) -> Result<Self> {
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(Error::new(
                format!("name child cgroup {name:?}"),
                Errno::EINVAL,
            ));
        }
        let mut made = self.clone();
        made.path = format!("{}/{name}", self.path);
        let at = self.dirs.iter().position(|(n, _)| n == "pids").unwrap_or(0);
        made.dirs[at].1.push(name);
        made.own = vec![made.dirs[at].1.clone()];
        Ok(made)
    }

    /// The interface in use.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Path below the hierarchies' mounts, without a leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The directory under one controller (v2: of any).
    #[must_use]
    pub fn dir(&self, controller: &str) -> Option<&Path> {
        let find = |(n, _): &&(String, PathBuf)| self.version == Version::V2 || n == controller;
        self.dirs.iter().find(find).map(|(_, d)| d.as_path())
    }

    /// Controller names this group is under (v2: one empty name).
    pub fn controllers(&self) -> impl Iterator<Item = &str> {
        self.dirs.iter().map(|(n, _)| n.as_str())
    }

    /// Makes the directories; those that exist are kept. On v2 the controllers are enabled on the way down.
    ///
    /// # Errors
    /// EACCES, EROFS, ENOSPC (depth or number limited).
    pub fn create(&self) -> Result<()> {
        for dir in &self.own {
            make_dirs(dir)?;
        }
        Ok(())
    }

    /// Moves the calling, single-threaded process into the group (v1; on v2 use it only where clone3 cannot).
    ///
    /// # Errors
    /// ENODEV, ENOSPC (an empty cpuset), EACCES.
    pub fn attach_self(&self) -> Result<()> {
        let file = if self.version == Version::V1 {
            "tasks"
        } else {
            "cgroup.procs"
        };
        self.dirs
            .iter()
            .try_for_each(|(_, dir)| write(&dir.join(file), "0"))
    }

    /// Moves process `pid` into the group, from outside. Slow on v1.
    ///
    /// # Errors
    /// ESRCH, EACCES.
    pub fn attach(&self, pid: i32) -> Result<()> {
        self.dirs
            .iter()
            .try_for_each(|(_, dir)| write(&dir.join("cgroup.procs"), &pid.to_string()))
    }

    /// On v2 the directory as a descriptor, for [`crate::namespace::fork`]; `None` on v1.
    ///
    /// # Errors
    /// ENOENT before [`Self::create`].
    pub fn open_v2(&self) -> Result<Option<OwnedFd>> {
        if self.version == Version::V1 {
            return Ok(None);
        }
        let dir = &self.dirs[0].1;
        let file = std::fs::File::open(dir)
            .map_err(|e| Error::from_io(format!("open cgroup {}", dir.display()), &e))?;
        Ok(Some(file.into()))
    }

    /// Whether its directories are there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.own.iter().any(|d| is_group(d))
    }

    /// Pids in this group and below it.
    ///
    /// # Errors
    /// When a directory cannot be read; a group that is gone is empty.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        if let Some(dir) = self.counted() {
            collect(dir, &mut pids)?;
        }
        Ok(pids)
    }

    /// The one directory whose processes are this group's: an exec's group on v1 shares the others.
    fn counted(&self) -> Option<&PathBuf> {
        self.own.iter().find(|d| is_group(d))
    }

    /// Kills what is in the group and below it, thawing it, and answers how many processes it saw. New ones may
    /// appear meanwhile (not on v2 with `cgroup.kill`, Linux 5.14): call again until it answers 0.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn kill(&self) -> Result<usize> {
        if self.version == Version::V2
            && let Some(dir) = self.counted()
            && write(&dir.join("cgroup.kill"), "1").is_ok()
        {
            return Ok(self.processes()?.len());
        }
        let pids = self.processes()?;
        for pid in &pids {
            // A pid of the list may have gone; none can have been reused by a stranger between two lines of ours
            // in any way we could notice, so the group is read anew until it is empty.
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(*pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        if !pids.is_empty() && self.own.len() == self.dirs.len() {
            let _ = self.thaw();
        }
        Ok(pids.len())
    }

    /// Stops every process of the group until [`Self::thaw`].
    ///
    /// # Errors
    /// ENOENT where the host has no freezer.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)
    }

    /// Whether every process has stopped (freezing takes a moment).
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub fn is_frozen(&self) -> Result<bool> {
        let dir = self
            .dir("freezer")
            .ok_or_else(|| Error::new("find freezer cgroup", Errno::ENOENT))?;
        match self.version {
            Version::V1 => Ok(read(&dir.join("freezer.state"))?.trim() == "FROZEN"),
            Version::V2 => Ok(read(&dir.join("cgroup.events"))?
                .lines()
                .any(|l| l == "frozen 1")),
        }
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        let dir = self
            .dir("freezer")
            .ok_or_else(|| Error::new("find freezer cgroup", Errno::ENOENT))?;
        match self.version {
            Version::V1 => write(
                &dir.join("freezer.state"),
                if frozen { "FROZEN" } else { "THAWED" },
            ),
            Version::V2 => write(&dir.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
        }
    }

    /// Removes the group and what is below it. What is gone already is fine.
    ///
    /// # Errors
    /// EBUSY while a process (or one not yet reaped on v1) is in it: try again when it has ended.
    pub fn remove(&self) -> Result<()> {
        let mut first = Ok(());
        for dir in &self.own {
            let done = remove_tree(dir);
            if first.is_ok() {
                first = done;
            }
        }
        first
    }
}

/// Whether the directory is there. Only ever asked of a path below a cgroup mount, which no container can write.
fn is_group(dir: &Path) -> bool {
    std::fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir())
}

fn make_dirs(dir: &Path) -> Result<()> {
    let made = |e: std::io::Error| Error::from_io(format!("make cgroup {}", dir.display()), &e);
    match std::fs::create_dir(dir) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(made(e)),
    }
    let parent = dir
        .parent()
        .ok_or_else(|| Error::new("make cgroup at /", Errno::EINVAL))?;
    make_dirs(parent)?;
    match std::fs::create_dir(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(made(e)),
        _ => Ok(()),
    }
}

fn remove_tree(dir: &Path) -> Result<()> {
    match std::fs::remove_dir(dir) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    for child in children(dir)? {
        remove_tree(&child)?;
    }
    match std::fs::remove_dir(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::from_io(
            format!("remove cgroup {}", dir.display()),
            &e,
        )),
        _ => Ok(()),
    }
}

fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    let list = match std::fs::read_dir(dir) {
        Ok(list) => list,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::from_io(format!("list cgroup {}", dir.display()), &e)),
    };
    Ok(list
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect())
}

fn collect(dir: &Path, pids: &mut Vec<i32>) -> Result<()> {
    match read(&dir.join("cgroup.procs")) {
        Ok(text) => pids.extend(text.lines().filter_map(|l| l.parse::<i32>().ok())),
        Err(e) if matches!(e.errno(), Errno::ENOENT | Errno::ENODEV) => return Ok(()),
        Err(e) => return Err(e),
    }
    children(dir)?.iter().try_for_each(|c| collect(c, pids))
}

pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|e| Error::from_io(format!("read {}", path.display()), &e))
}

/// One write(2) without creating: a cgroup file is never made, and what it says is told by the errno of the write.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let done = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut f| f.write_all(text.as_bytes()));
    done.map_err(|e| Error::from_io(format!("write {text:?} to {}", path.display()), &e))
}

#[cfg(test)]
mod tests;
