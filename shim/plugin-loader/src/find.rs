//! Looks through folders for plugins. Reads notes, runs nothing.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;

use crate::elf::{self, Identity};
use crate::library::Library;
use crate::walk::{self, Trust};
use crate::{LoadError, Result, store};

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
    /// What its note says, if it could be read.
    pub identity: Option<Identity>,
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
        let read = walk::file(&folder, name, &path, trust)
            .and_then(|file| Ok((elf::identity(&file, &path)?, file)));
        let identity = read.as_ref().ok().map(|(identity, _)| identity.clone());
        let found = read.and_then(|(identity, file)| Found::new(identity, file, path.clone()));
        Candidate {
            path,
            identity,
            found,
        }
    };
    Ok(names.iter().map(open).collect())
}

impl Found {
    fn new(identity: Identity, file: File, path: PathBuf) -> Result<Self> {
        elf::check_major(&identity, &path)?;
        Ok(Self {
            path,
            identity,
            file,
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
        let file = walk::file(&folder, name, path, trust)?;
        Self::new(elf::identity(&file, path)?, file, path.to_owned())
    }

    /// Copies the library into `folder` (made with mode 0700 if missing), unless that very copy is there. Runs nothing.
    ///
    /// # Errors
    /// When the copy cannot be made, or the file changed under our hands.
    pub fn copy(self, folder: &Path) -> Result<Copied> {
        let copy = store::copy(&self.file, &self.path, folder)?;
        // The file may have been written to between the look at its note and the copy.
        if elf::identity(&copy.file, &copy.path)? != self.identity {
            let why = "the file changed while it was being copied".to_owned();
            return Err(LoadError::Broken {
                path: self.path,
                why,
            });
        }
        Ok(Copied {
            path: self.path,
            identity: self.identity,
            loaded_from: copy.path,
            sha256: copy.sha256,
        })
    }

    /// [`Found::copy`], then [`Copied::open`].
    ///
    /// # Errors
    /// As those two.
    pub fn load(self, folder: &Path) -> Result<Library> {
        self.copy(folder)?.open()
    }
}

/// The copy of a plugin, named by its digest; nothing of it has run yet.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Where the plugin was found.
    pub path: PathBuf,
    /// What its note says.
    pub identity: Identity,
    /// The copy.
    pub loaded_from: PathBuf,
    /// Digest of the copy, in hex.
    pub sha256: String,
}

impl Copied {
    /// A copy that another process of ours made; its digest is computed again.
    ///
    /// # Errors
    /// When it is not what its name says.
    pub fn at(path: &Path) -> Result<Self> {
        let found = Found::at(path, Trust::Parents)?;
        let sha256 = store::digest_of(&found.file).map_err(|e| LoadError::io("read", path, e))?;
        if path.file_stem() != Some(OsStr::new(&sha256)) {
            let why = format!("its digest is {sha256}");
            return Err(LoadError::Broken {
                path: path.into(),
                why,
            });
        }
        let loaded_from = path.to_owned();
        Ok(Self {
            path: path.into(),
            identity: found.identity,
            loaded_from,
            sha256,
        })
    }
}
