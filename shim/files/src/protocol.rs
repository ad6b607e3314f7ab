//! What gantryd says to `gantry-helper` and what comes back: one JSON request as the argument, JSON lines on stdout.
//!
//! The layer itself is the helper's stdin, so that gantryd opens it and the helper needs no path to it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Kind;
use crate::limits::Limits;

/// Where the files are. The helper opens or mounts it itself, as the last thing it does with privileges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tree {
    /// A plain directory of the host.
    Dir(PathBuf),
    /// An overlay; the helper mounts it detached and it goes with the helper.
    Overlay {
        /// Lower directories, uppermost first.
        lower: Vec<PathBuf>,
        /// Upper directory; none for a read-only view.
        #[serde(default)]
        upper: Option<PathBuf>,
        /// Work directory beside the upper one.
        #[serde(default)]
        work: Option<PathBuf>,
    },
}

/// `gantry-helper unpack '<this>'`, with the layer as stdin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnpackRequest {
    /// Where to unpack. An overlay shows the lower layers, so whiteouts are plain removals.
    pub tree: Tree,
    /// The tree is empty: whiteouts have nothing to hide.
    #[serde(default)]
    pub fresh: bool,
    /// What the uncompressed bytes must be (`sha256:…`); an error of kind `digest` otherwise.
    #[serde(default)]
    pub diff_id: Option<String>,
    /// What the bytes read must be (`sha256:…`); an error of kind `digest` otherwise.
    #[serde(default)]
    pub digest: Option<String>,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Files of cgroups (`…/tasks` on v1, `…/cgroup.procs` on v2) the helper writes `0` to before it starts.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
}

/// `gantry-helper copy-up '<this>'`: the image's content of a path becomes the first content of a volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CopyUpRequest {
    /// The root file system to read from.
    pub tree: Tree,
    /// Path inside it; symlinks are followed inside the tree only. Nothing is copied if it is no directory.
    pub path: PathBuf,
    /// Directory of the host to fill. Nothing is copied unless it is empty.
    pub target: PathBuf,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// As in [`UnpackRequest`].
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
}

/// What an unpack found, for the caller to check and to record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// sha256 of the bytes read, `sha256:…`.
    pub digest: String,
    /// Bytes read.
    pub size: u64,
    /// sha256 of the bytes after decompression, `sha256:…`.
    pub diff_id: String,
    /// Bytes after decompression.
    pub diff_size: u64,
    /// Entries of the archive.
    pub entries: u64,
    /// Whiteouts among them.
    pub whiteouts: u64,
    /// Bytes of all files with their holes.
    pub file_bytes: u64,
    /// Extended attributes that were left out: kinds that are not a layer's business, or that the file system refuses.
    pub ignored_xattrs: u64,
}

/// What a copy did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Files, directories and others made.
    pub entries: u64,
    /// Bytes copied.
    pub bytes: u64,
}

/// One line on the helper's stdout. The last one is `unpacked`, `copied` or `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Bytes of the layer read so far.
    Progress(u64),
    /// Done.
    Unpacked(Unpacked),
    /// Done.
    Copied(Copied),
    /// Not done; what was written so far is of no use.
    Error {
        /// For programs.
        kind: Kind,
        /// For people.
        message: String,
    },
}
