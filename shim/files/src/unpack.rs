//! Unpacking a layer beneath a directory: order of the entries kept, whiteouts applied, then made durable.
//!
//! The directory shows the lower layers (a plain copy of them, or an overlay whose kernel turns removals into
//! whiteouts), so one way of applying serves every snapshotter.

mod meta;
mod path;
mod place;
mod whiteout;

use std::io::Read;
use std::os::fd::OwnedFd;

pub use meta::Owners;

use crate::archive::{Archive, Entry, EntryKind};
use crate::error::{Error, Result, show};
use crate::limits::Limits;
use crate::protocol::Unpacked;
use crate::stream::{Chunks, decode};
use place::Tree;
use whiteout::{Own, Whiteout};

/// How to unpack.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bounds.
    pub limits: Limits,
    /// The directory was empty: whiteouts have nothing to hide.
    pub fresh: bool,
    /// Whether owners are set; only tests without root leave them.
    pub owners: Owners,
    /// Flush the file system at the end.
    pub sync: bool,
    /// What the decompressed bytes must be.
    pub diff_id: Option<String>,
    /// What the bytes read must be.
    pub digest: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            fresh: false,
            owners: Owners::Apply,
            sync: true,
            diff_id: None,
            digest: None,
        }
    }
}

/// Unpacks the layer `input` (tar; plain, gzip or zstd) beneath `root`. The files are on disk when this returns.
/// After an error the directory holds a part of the layer and is of no use.
///
/// # Errors
/// Every kind but `request`.
pub fn unpack(
    root: &OwnedFd,
    input: impl Read + Send,
    options: &Options,
    progress: impl FnMut(u64) -> Result<()>,
) -> Result<Unpacked> {
    let (mut unpacked, sums) = decode(input, &options.limits, progress, |chunks| {
        apply(root, chunks, options)
    })?;
    expect("digest", options.digest.as_deref(), &sums.digest)?;
    expect("diff id", options.diff_id.as_deref(), &sums.diff_id)?;
    unpacked.digest = sums.digest;
    unpacked.size = sums.size;
    unpacked.diff_id = sums.diff_id;
    unpacked.diff_size = sums.diff_size;
    Ok(unpacked)
}

fn expect(what: &str, wanted: Option<&str>, found: &str) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != found => Err(Error::Digest(format!(
            "layer has the {what} {found}, not {wanted} as promised"
        ))),
        _ => Ok(()),
    }
}

fn apply(root: &OwnedFd, chunks: &mut Chunks<'_>, options: &Options) -> Result<Unpacked> {
    let mut unpack = Unpack {
        tree: Tree::new(root, options.owners)?,
        own: (!options.fresh).then(Own::default),
        limits: &options.limits,
        counts: Unpacked::default(),
    };
    let mut archive = Archive::new(chunks, &options.limits);
    while let Some(entry) = archive.next_entry()? {
        unpack.entry(&entry, &mut archive)?;
    }
    // The padding at the end belongs to the diff id.
    archive.finish()?;
    gantry_fault::pass("files.unpack.before-sync");
    unpack.tree.finish(options.sync)?;
    gantry_fault::pass("files.unpack.after-sync");
    unpack.counts.ignored_xattrs = unpack.tree.ignored_xattrs;
    Ok(unpack.counts)
}

struct Unpack<'l> {
    tree: Tree,
    /// What whiteouts need to know; none if there is nothing to hide.
    own: Option<Own>,
    limits: &'l Limits,
    counts: Unpacked,
}

impl Unpack<'_> {
    fn entry<R: Read>(&mut self, entry: &Entry, content: &mut Archive<'_, R>) -> Result<()> {
        self.counts.entries += 1;
        if self.counts.entries > self.limits.entries {
            return Err(Error::Limit(format!(
                "more than {} entries",
                self.limits.entries
            )));
        }
        let path = path::clean(&entry.path, self.limits)?;
        let Some((parent, name)) = path::split(&path) else {
            if entry.kind != EntryKind::Dir {
                return Err(Error::Archive(format!(
                    "entry {}: the root is a directory",
                    show(&entry.path)
                )));
            }
            return self.tree.root_meta(entry);
        };
        match whiteout::read(name, &entry.path)? {
            Some(Whiteout::Ignored) => Ok(()),
            Some(found) => {
                self.counts.whiteouts += 1;
                match &mut self.own {
                    Some(own) => own.apply(&mut self.tree, parent, &found),
                    None => Ok(()),
                }
            }
            None => {
                self.place(entry, parent, name, content)?;
                if let Some(own) = &mut self.own {
                    own.remember(&path);
                }
                Ok(())
            }
        }
    }

    fn place<R: Read>(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
        content: &mut Archive<'_, R>,
    ) -> Result<()> {
        match entry.kind {
            EntryKind::File => {
                self.counts.file_bytes = self.counts.file_bytes.saturating_add(entry.file_size);
                if self.counts.file_bytes > self.limits.bytes {
                    return Err(Error::Limit(format!(
                        "files of more than {} bytes",
                        self.limits.bytes
                    )));
                }
                self.tree.file(entry, parent, name, content)
            }
            EntryKind::Dir => self.tree.dir(entry, parent, name),
            EntryKind::Symlink => {
                if entry.link.is_empty()
                    || entry.link.len() > self.limits.path
                    || entry.link.contains(&0)
                {
                    return Err(Error::Archive(format!(
                        "entry {}: bad link target",
                        show(&entry.path)
                    )));
                }
                self.tree.symlink(entry, parent, name)
            }
            EntryKind::Hardlink => {
                let target = path::clean(&entry.link, self.limits)?;
                self.tree.hardlink(entry, &target, parent, name)
            }
            EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Fifo => {
                self.tree.node(entry, parent, name)
            }
        }
    }
}

#[cfg(test)]
mod tests;
