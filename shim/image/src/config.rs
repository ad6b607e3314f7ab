//! What the daemon tells this crate.

use std::path::PathBuf;

/// Where things are, and bounds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the content store: `<root>/content`.
    pub content: PathBuf,
    /// The `gantry-helper` binary.
    pub helper: PathBuf,
    /// Path below each hierarchy's mount under which every helper gets a cgroup of its own; `None`: it stays in the
    /// daemon's.
    pub helper_cgroup: Option<String>,
    /// Registries besides those on loopback addresses that are spoken to without TLS, as `host[:port]`.
    pub plain_http: Vec<String>,
    /// Layers one pull downloads at a time.
    pub parallel_downloads: usize,
    /// Bytes one loaded archive may have after decompression.
    pub load_limit: u64,
}

impl Config {
    /// The defaults around these two paths.
    #[must_use]
    pub fn new(content: PathBuf, helper: PathBuf) -> Self {
        Self {
            content,
            helper,
            helper_cgroup: None,
            plain_http: Vec::new(),
            parallel_downloads: 3,
            load_limit: 64 << 30,
        }
    }
}
