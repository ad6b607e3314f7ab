//! Looks through folders for plugins. Reads notes, runs nothing.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;

use crate::elf::{self, Identity};
use crate::walk::{self, Trust};
use crate::{LoadError, Result};

/// A plugin that was found: its file is open, so that what was checked is what will be loaded.
#[derive(Debug)]
pub struct Found {
    /// Where it was found.
    pub path: PathBuf,
    /// What its note says.
    pub identity: Identity,
    pub(crate) file: File,
}

/// One `*.so` of a folder: a plugin, or why it is none.
#[derive(Debug)]
pub struct Candidate {
    /// Where it was found.
    pub path: PathBuf,
    /// The plugin.
    pub found: Result<Found>,
}

/// Looks through one folder for files `*.so`, in the order of their names.
///
/// # Errors
/// When the folder cannot be opened or must not be trusted. Errors of single files are in the answer.
pub fn find(path: &Path, trust: Trust) -> Result<Vec<Candidate>> {
    let folder = walk::folder(path, trust)?;
    let again = folder
        .try_clone()
        .map_err(|e| LoadError::io("duplicate", path, e))?;
    let mut names = Vec::new();
    let mut entries = Dir::from_fd(again).map_err(|e| LoadError::io("list", path, e))?;
    for entry in entries.iter() {
        let entry = entry.map_err(|e| LoadError::io("list", path, e))?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        if name.extension() == Some(OsStr::new("so"))
            && let Some(name) = name.to_str()
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    let open = |name: &String| {
        let path = path.join(name);
        let found =
            walk::file(&folder, name, &path, trust).and_then(|file| Found::new(file, path.clone()));
        Candidate { path, found }
    };
    Ok(names.iter().map(open).collect())
}

impl Found {
    fn new(file: File, path: PathBuf) -> Result<Self> {
        Ok(Self {
            identity: elf::identity(&file, &path)?,
            file,
            path,
        })
    }

    /// A single file, its folder checked like any other.
    ///
    /// # Errors
    /// As [`find`], and those of the file.
    pub fn at(path: &Path, trust: Trust) -> Result<Self> {
        let untrusted = || LoadError::Untrusted {
            path: path.into(),
            why: "not a file's path".to_owned(),
        };
        let name = path
            .file_name()
            .and_then(OsStr::to_str)
            .ok_or_else(untrusted)?;
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let folder = walk::folder(parent, trust)?;
        Self::new(walk::file(&folder, name, path, trust)?, path.to_owned())
    }
}
