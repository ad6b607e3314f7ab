//! Whiteouts: entries of a layer that hide what lower layers have (OCI image specification, "layer").

use std::collections::HashSet;
use std::ffi::{CStr, CString};

use super::path;
use super::place::Tree;
use crate::error::{Error, Result, show};
use crate::remove::{names, remove};

/// A whiteout.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whiteout {
    /// Hides one name beside it.
    Name(CString),
    /// Hides everything lower layers have in its directory.
    Opaque,
    /// Bookkeeping of aufs.
    Ignored,
}

/// What the name of an entry says.
///
/// # Errors
/// Kind `archive` for a whiteout of nothing, `.` or `..`.
pub(super) fn read(name: &[u8], whole: &[u8]) -> Result<Option<Whiteout>> {
    let Some(hidden) = name.strip_prefix(b".wh.") else {
        return Ok(None);
    };
    if hidden == b".wh..opq" {
        return Ok(Some(Whiteout::Opaque));
    }
    if hidden.starts_with(b".wh.") {
        return Ok(Some(Whiteout::Ignored));
    }
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(Error::Archive(format!(
            "entry {}: whiteout of no name",
            show(whole)
        )));
    }
    let hidden = CString::new(hidden)
        .map_err(|_| Error::Archive(format!("entry {}: zero byte", show(whole))))?;
    Ok(Some(Whiteout::Name(hidden)))
}

/// What this layer made, and where its whiteouts were applied already.
#[derive(Debug, Default)]
pub(super) struct Own {
    placed: HashSet<Vec<u8>>,
    hidden: HashSet<Vec<u8>>,
}

impl Own {
    /// The path and its parents are this layer's from now on.
    pub(super) fn remember(&mut self, mut path: &[u8]) {
        while self.placed.insert(path.to_vec()) {
            match path::split(path) {
                Some((parent, _)) if !parent.is_empty() => path = parent,
                _ => break,
            }
        }
    }

    /// Removes what the whiteout hides, except for what this layer itself made, in whichever order they come.
    pub(super) fn apply(&mut self, tree: &mut Tree, parent: &[u8], what: &Whiteout) -> Result<()> {
        match what {
            Whiteout::Ignored => Ok(()),
            Whiteout::Opaque => self.hide_children(tree, parent),
            Whiteout::Name(name) => self.hide(tree, parent, name),
        }
    }

    fn hide(&mut self, tree: &mut Tree, parent: &[u8], name: &CStr) -> Result<()> {
        let full = path::join(parent, name.to_bytes());
        if self.placed.contains(&full) {
            // A name of this layer stays, what lower layers have beneath it goes.
            return self.hide_children(tree, &full);
        }
        match tree.existing_dir(parent)? {
            Some(dir) => {
                tree.forget();
                remove(&dir, name)
            }
            None => Ok(()),
        }
    }

    /// Recurses only into directories of this layer, whose depth is limited.
    fn hide_children(&mut self, tree: &mut Tree, dir: &[u8]) -> Result<()> {
        // Once is enough, however often an archive repeats it: nothing lower comes back.
        if !self.hidden.insert(dir.to_vec()) {
            return Ok(());
        }
        // A symlink of that name leads to files of another place.
        let Some(open) = tree.real_dir(dir)? else {
            return Ok(());
        };
        for name in names(&open)? {
            self.hide(tree, dir, &name)?;
        }
        Ok(())
    }
}
