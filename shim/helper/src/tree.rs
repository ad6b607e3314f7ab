//! Opening the tree to work on. An overlay is mounted detached, for this process alone, and goes with it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use gantry_files::protocol::Tree;
use gantry_files::{Error, Result};
use gantry_sys::beneath::{self, Links};
use gantry_sys::mount::{self, Overlay};
use gantry_sys::namespace;

use crate::confine::sys;

/// An open tree. The mount is dissolved when its own descriptor closes, so both live together.
pub(crate) struct Root {
    /// Its topmost directory.
    pub(crate) dir: OwnedFd,
    _mount: Option<OwnedFd>,
}

/// Opens the tree, mounting it if need be.
pub(crate) fn open(tree: &Tree) -> Result<Root> {
    match tree {
        Tree::Dir(dir) => plain(dir),
        // Overlay refuses a single lower directory without an upper one; it is its own view then.
        Tree::Overlay {
            lower, upper: None, ..
        } if lower.len() == 1 => plain(&lower[0]),
        Tree::Overlay { lower, upper, work } => {
            let upper = match (upper, work) {
                (Some(upper), Some(work)) => Some((upper.clone(), work.clone())),
                (None, None) => None,
                _ => {
                    return Err(Error::Request(
                        "an overlay needs both an upper and a work directory, or none".into(),
                    ));
                }
            };
            // Older kernels attach the overlay for a moment: not where others see it.
            namespace::unshare(namespace::MOUNT).map_err(sys)?;
            mount::set_namespace_propagation(mount::Propagation::Private).map_err(sys)?;
            let overlay = Overlay {
                lower: lower.clone(),
                upper,
                options: Vec::new(),
            };
            let mount = mount::overlay(&overlay, 0).map_err(sys)?;
            // A mount's descriptor is O_PATH: good for lookups, not for chown or reading.
            let dir = beneath::open_dir(&mount, Path::new("."), Links::Refuse);
            let dir = dir.map_err(|e| Error::Io {
                doing: "open the overlay".into(),
                source: e.into(),
            })?;
            Ok(Root {
                dir,
                _mount: Some(mount),
            })
        }
    }
}

fn plain(dir: &Path) -> Result<Root> {
    Ok(Root {
        dir: open_dir(dir)?,
        _mount: None,
    })
}

/// A plain directory of the host.
pub(crate) fn open_dir(dir: &Path) -> Result<OwnedFd> {
    let open = File::open(dir).and_then(|f| {
        if f.metadata()?.is_dir() {
            Ok(f)
        } else {
            Err(nix::Error::ENOTDIR.into())
        }
    });
    open.map(Into::into).map_err(|source| Error::Io {
        doing: format!("open directory {}", dir.display()),
        source,
    })
}
