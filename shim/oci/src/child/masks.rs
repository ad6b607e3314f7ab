//! Masked and read-only paths. What covers a masked file is our own /dev/null, checked by device number through its
//! descriptor: an image may have put anything in its place.

use crate::error::{FailureKind, Kind, LaunchError, Result};
use gantry_sys::beneath::{self, Links};
use gantry_sys::mount::{self, NODEV, NOEXEC, NOSUID, RDONLY};
use gantry_sys::{Errno, Error};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fstat, makedev};
use oci_spec::runtime::Spec;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Applies both lists; paths that are not there are left alone.
pub(super) fn apply(spec: &Spec, root: &OwnedFd) -> Result<()> {
    let Some(linux) = spec.linux() else {
        return Ok(());
    };
    for path in linux.readonly_paths().iter().flatten() {
        read_only(root, Path::new(path))?;
    }
    let mut covers = Covers {
        null: None,
        empty: None,
    };
    for path in linux.masked_paths().iter().flatten() {
        match path.split_once("/cpu*/") {
            Some((dir, file)) => {
                for cpu in cpus(root, Path::new(dir)) {
                    mask(root, &Path::new(dir).join(cpu).join(file), &mut covers)?;
                }
            }
            None => mask(root, Path::new(path), &mut covers)?,
        }
    }
    Ok(())
}

/// Names of the CPUs' directories, for the one pattern a list may hold: a fact of the host the list cannot know.
fn cpus(root: &OwnedFd, dir: &Path) -> Vec<String> {
    let Ok(fd) = beneath::open_dir(root, dir, Links::Refuse) else {
        return Vec::new();
    };
    let Ok(mut list) = nix::dir::Dir::from_fd(fd) else {
        return Vec::new();
    };
    let names = list
        .iter()
        .flatten()
        .filter_map(|e| e.file_name().to_str().ok().map(str::to_owned));
    let number = |name: &String| {
        name.strip_prefix("cpu")
            .is_some_and(|n| n.parse::<u32>().is_ok())
    };
    names.filter(number).collect()
}

/// What covers masked paths, made once and cloned.
struct Covers {
    null: Option<OwnedFd>,
    /// An attached, empty, read-only tmpfs: only an attached mount can be cloned before Linux 6.15.
    empty: Option<OwnedFd>,
}

fn find(root: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>> {
    match beneath::open(root, path, OFlag::O_PATH, Mode::empty(), Links::InRoot) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(e) => Err(Error::new(format!("open {}", path.display()), e)).kind(FailureKind::Mount),
    }
}

fn read_only(root: &OwnedFd, path: &Path) -> Result<()> {
    let Some(target) = find(root, path)? else {
        return Ok(());
    };
    let covered = || -> gantry_sys::Result<()> {
        let clone = mount::open_tree_fd(&target, true)?;
        mount::set_attr(&clone, RDONLY, 0, true)?;
        mount::attach(&clone, &target)
    };
    covered()
        .map_err(|e| e.within(&format!("make {} read-only", path.display())))
        .kind(FailureKind::Mount)
}

fn mask(root: &OwnedFd, path: &Path, covers: &mut Covers) -> Result<()> {
    let Some(target) = find(root, path)? else {
        return Ok(());
    };
    let stat = fstat(&target).map_err(|e| Error::new(format!("look at {}", path.display()), e))?;
    let is_dir = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
    let cover = match (is_dir, &covers.empty) {
        (true, Some(empty)) => mount::open_tree_fd(empty, false)?,
        (true, None) => {
            let attr = RDONLY | NOSUID | NODEV | NOEXEC;
            mount::tmpfs(&[("mode", "755"), ("nr_inodes", "1"), ("size", "4k")], attr)?
        }
        (false, _) => {
            if covers.null.is_none() {
                covers.null = Some(null(root)?);
            }
            mount::open_tree_fd(covers.null.as_ref().expect("set just above"), false)?
        }
    };
    let done =
        mount::attach(&cover, &target).map_err(|e| e.within(&format!("mask {}", path.display())));
    done.kind(FailureKind::Mount)?;
    if is_dir && covers.empty.is_none() {
        covers.empty = Some(cover);
    }
    Ok(())
}

/// The container's own null device.
fn null(root: &OwnedFd) -> Result<OwnedFd> {
    let fd = find(root, Path::new("/dev/null"))?;
    let fd = fd.ok_or_else(|| LaunchError::new(FailureKind::Mount, "mask files: no /dev/null"))?;
    let stat = fstat(&fd).map_err(|e| Error::new("look at /dev/null", e))?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == makedev(1, 3) {
        return Ok(fd);
    }
    Err(LaunchError::new(
        FailureKind::Mount,
        "mask files: /dev/null is not the null device",
    ))
}
