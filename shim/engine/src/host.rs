//! What the engine needs of the machine besides drivers: clock, randomness and a few small files.

use async_trait::async_trait;
use gantry_model::{Result, Timestamp};

/// Implemented by the daemon. Paths are absolute.
#[async_trait]
pub trait Host: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// 32 bytes nobody can guess.
    fn random(&self) -> [u8; 32];

    /// Replaces a file in one step (rename), or, with `in_place`, rewrites it keeping its inode, because bind mounts
    /// hold the inode. Folders above it are made with mode 0711.
    async fn write_file(&self, path: &str, content: &[u8], mode: u32, in_place: bool)
    -> Result<()>;

    /// Reads a small file, 1 MiB at most.
    async fn read_file(&self, path: &str) -> Result<Vec<u8>>;

    /// Makes a folder and those above it.
    async fn make_dir(&self, path: &str, mode: u32) -> Result<()>;

    /// Removes a folder of ours with what is in it; not there is success.
    async fn remove_dir(&self, path: &str) -> Result<()>;

    /// Whether something is at that path, following symlinks.
    async fn exists(&self, path: &str) -> bool;
}
