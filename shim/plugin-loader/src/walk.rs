//! The way to a folder of plugins, walked by descriptor: whoever could write one step of it could run code as us.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::geteuid;

use crate::{LoadError, Result};

/// How much of the way to a folder is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Every folder from `/` on: no symlink, owned by root or by us, writable by its owner only.
    Nothing,
    /// The folder was named on the command line: its parents are trusted, and its owner.
    Parents,
}

/// Opens a folder.
pub(crate) fn folder(path: &Path, trust: Trust) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    if trust == Trust::Parents {
        let folder =
            open(path, flags, Mode::empty()).map_err(|e| LoadError::io("open folder", path, e))?;
        check(&folder, path, trust, None)?;
        return Ok(folder);
    }
    if !path.is_absolute() {
        let why = "the path is not absolute".to_owned();
        return Err(LoadError::Untrusted {
            path: path.into(),
            why,
        });
    }
    let mut at = PathBuf::from("/");
    let mut folder =
        open("/", flags, Mode::empty()).map_err(|e| LoadError::io("open folder", "/", e))?;
    check(&folder, &at, trust, None)?;
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) => {
                at.push(name);
                folder = openat(&folder, name, flags | OFlag::O_NOFOLLOW, Mode::empty())
                    .map_err(|e| LoadError::io("open folder without symlinks", &at, e))?;
            }
            Component::ParentDir | Component::Prefix(_) => {
                let why = "the path has `..` in it".to_owned();
                return Err(LoadError::Untrusted {
                    path: path.into(),
                    why,
                });
            }
        }
        check(&folder, &at, trust, None)?;
    }
    Ok(folder)
}

/// Opens a file of a folder that [`folder`] answered.
pub(crate) fn file(folder: impl AsFd, name: &str, path: &Path, trust: Trust) -> Result<File> {
    let parent = stat(&folder, path)?;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = openat(folder, name, flags, Mode::empty())
        .map_err(|e| LoadError::io("open without symlinks", path, e))?;
    let found = check(&file, path, trust, Some(parent.st_uid))?;
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(LoadError::Untrusted {
            path: path.into(),
            why: "not a regular file".to_owned(),
        });
    }
    Ok(File::from(file))
}

fn stat(fd: impl AsFd, path: &Path) -> Result<FileStat> {
    fstat(fd).map_err(|e| LoadError::io("examine", path, e))
}

/// Owner and mode. In a folder named on the command line its owner's files are as good as the folder.
fn check(
    fd: impl AsFd,
    path: &Path,
    trust: Trust,
    owner_of_folder: Option<u32>,
) -> Result<FileStat> {
    let found = stat(fd, path)?;
    let us = [Some(0), Some(geteuid().as_raw()), owner_of_folder];
    let trusted_owner = match (trust, owner_of_folder) {
        (Trust::Parents, None) => true,
        (Trust::Parents, Some(_)) => us.contains(&Some(found.st_uid)),
        (Trust::Nothing, _) => us[..2].contains(&Some(found.st_uid)),
    };
    let refuse = |why: String| {
        Err(LoadError::Untrusted {
            path: path.into(),
            why,
        })
    };
    if !trusted_owner {
        return refuse(format!("owned by uid {}", found.st_uid));
    }
    let forbidden = if trust == Trust::Parents {
        0o002
    } else {
        0o022
    };
    if found.st_mode & forbidden != 0 {
        return refuse(format!(
            "writable by others (mode {:04o})",
            found.st_mode & 0o7777
        ));
    }
    Ok(found)
}
