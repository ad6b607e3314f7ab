//! The machine for the engine: clock, randomness, a few small files. And what must be so before gantryd can work.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context, bail};
use gantry_engine::Host;
use gantry_model::{Error, Result, Timestamp};

/// Largest file the engine reads.
const READ_LIMIT: u64 = 1 << 20;

pub(crate) struct Machine;

/// 32 bytes from the kernel.
///
/// # Errors
/// `/dev/urandom` cannot be read.
pub(crate) fn random() -> std::io::Result<[u8; 32]> {
    // Kept open: there must be randomness when there are no descriptors.
    static SOURCE: OnceLock<fs::File> = OnceLock::new();
    let mut source = match SOURCE.get() {
        Some(source) => source,
        None => {
            let opened = fs::File::open("/dev/urandom")?;
            SOURCE.get_or_init(|| opened)
        }
    };
    let mut bytes = [0; 32];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Tells what keeps this machine from running containers.
///
/// # Errors
/// Names the cause and what to do.
pub(crate) fn check() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("gantryd must run as root: it makes namespaces, mounts and cgroups");
    }
    random().context("read /dev/urandom")?;
    let own = gantry_sys::mount::root_mount_id("self").context("read /proc/self/mountinfo")?;
    let init = gantry_sys::mount::root_mount_id("1").context("read /proc/1/mountinfo")?;
    if own != init {
        bail!(
            "gantryd runs in a mount namespace of its own: mounts made here would be hidden from the host. Start it \
             without PrivateTmp=, ProtectSystem=, PrivateMounts= or `unshare --mount`"
        );
    }
    Ok(())
}

#[async_trait::async_trait]
impl Host for Machine {
    fn now(&self) -> Timestamp {
        Timestamp::from_system(SystemTime::now())
    }

    fn random(&self) -> [u8; 32] {
        random().expect("the kernel always has randomness once it is up")
    }

    async fn write_file(
        &self,
        path: &str,
        content: &[u8],
        mode: u32,
        in_place: bool,
    ) -> Result<()> {
        let (path, content) = (PathBuf::from(path), content.to_vec());
        blocking(move || {
            write(&path, &content, mode, in_place).map_err(|e| failed("write", &path, &e))
        })
        .await
    }

    async fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let path = PathBuf::from(path);
        blocking(move || {
            let read = || -> std::io::Result<Vec<u8>> {
                let mut bytes = Vec::new();
                fs::File::open(&path)?
                    .take(READ_LIMIT)
                    .read_to_end(&mut bytes)?;
                Ok(bytes)
            };
            read().map_err(|e| failed("read", &path, &e))
        })
        .await
    }

    async fn make_dir(&self, path: &str, mode: u32) -> Result<()> {
        let path = PathBuf::from(path);
        blocking(move || {
            let made = crate::lock::make(&path, mode);
            made.map_err(|error| Error::internal(format!("{error:#}")))
        })
        .await
    }

    async fn remove_dir(&self, path: &str) -> Result<()> {
        let path = PathBuf::from(path);
        blocking(move || match remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove", &path, &error))
            }
            _ => Ok(()),
        })
        .await
    }

    async fn exists(&self, path: &str) -> bool {
        let path = PathBuf::from(path);
        // What cannot be looked at is taken to be there: whoever uses it gets the kernel's own words.
        blocking(move || Ok(path.try_exists().unwrap_or(true)))
            .await
            .unwrap_or(true)
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    gantry_fault::point("daemon.folder.before-remove").map_err(std::io::Error::other)?;
    fs::remove_dir_all(path)?;
    gantry_fault::pass("daemon.folder.after-remove");
    Ok(())
}

fn write(path: &Path, content: &[u8], mode: u32, in_place: bool) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).create(parent)?;
    }
    if in_place {
        let mut options = fs::OpenOptions::new();
        let options = options.create(true).truncate(true).write(true).mode(mode);
        let mut file = options.custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
        file.write_all(content)?;
        return file.set_permissions(fs::Permissions::from_mode(mode));
    }
    let temporary = path.with_extension("new");
    gantry_fault::point("daemon.file.before-write").map_err(std::io::Error::other)?;
    let written = fs::write(&temporary, content)
        .and_then(|()| fs::set_permissions(&temporary, fs::Permissions::from_mode(mode)));
    if let Err(error) = written {
        // Half of a file on a full disk is in nobody's way, but it takes the room.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    gantry_fault::point("daemon.file.before-rename").map_err(std::io::Error::other)?;
    fs::rename(&temporary, path)?;
    gantry_fault::point("daemon.file.after-rename").map_err(std::io::Error::other)
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => gantry_model::ErrorKind::NotFound,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            gantry_model::ErrorKind::ResourceExhausted
        }
        _ => gantry_model::ErrorKind::Internal,
    };
    Error::new(kind, format!("{what} {}: {error}", path.display()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal(format!(
            "a file operation ended in a panic: {error}"
        ))),
    }
}
