//! What a request carries, in the runtime's own terms: configuration, filter, log, streams, errors.

use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use gantry_logs::{Format, LogWriter, Rotation};
use gantry_oci::{FailureKind, LaunchError, MountDesc};
use gantry_supervisor_proto::types::{self as t, Log};
use gantry_supervisor_proto::{ErrorKind, WireError};
use oci_spec::runtime::{LinuxSeccomp, Process, Spec};

use crate::failure;

type Result<T> = std::result::Result<T, WireError>;

pub(crate) fn parse_spec(body: &t::Create) -> Result<Spec> {
    let mut spec: Spec = serde_json::from_str(&body.config).map_err(|e| {
        WireError::invalid(format!("read configuration of container {}: {e}", body.id))
    })?;
    if body.rootfs_readonly {
        let mut root = spec.root().clone().unwrap_or_default();
        root.set_readonly(Some(true));
        spec.set_root(Some(root));
    }
    Ok(spec)
}

/// Where a container's filter is kept.
pub(crate) fn seccomp_file(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.seccomp"))
}

/// The filter is needed again for each exec: kept in a file, since parsed it is larger than the rest of us.
pub(crate) fn save_seccomp(folder: &Path, id: &str, spec: &Spec) -> Result<()> {
    let path = seccomp_file(folder, id);
    let failed = |e: std::io::Error| failure::io(format!("write {}", path.display()), &e);
    match spec.linux().as_ref().and_then(|l| l.seccomp().as_ref()) {
        Some(seccomp) => {
            let text = serde_json::to_vec(seccomp).map_err(|e| failed(e.into()))?;
            std::fs::write(&path, text).map_err(failed)
        }
        None => Ok(()),
    }
}

pub(crate) fn load_seccomp(folder: &Path, id: &str) -> Result<Option<LinuxSeccomp>> {
    let path = seccomp_file(folder, id);
    let failed = |e: std::io::Error| failure::io(format!("read {}", path.display()), &e);
    match std::fs::read(&path) {
        // Without the filter it was started with, no exec may run.
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| failed(e.into())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

pub(crate) fn open_log(log: &Log) -> Result<Option<LogWriter>> {
    let rotated = |max_size: &u64, max_files: &u32, compress: &bool| Rotation {
        max_size: *max_size,
        max_files: *max_files,
        compress: *compress,
    };
    let (path, format, rotation) = match log {
        Log::None => return Ok(None),
        Log::Cri { path } => (path, Format::Cri, Rotation::default()),
        Log::Local {
            path,
            max_size,
            max_files,
            compress,
        } => {
            make_folder(path)?;
            (path, Format::Local, rotated(max_size, max_files, compress))
        }
        Log::JsonFile {
            path,
            max_size,
            max_files,
            compress,
        } => (
            path,
            Format::JsonFile,
            rotated(max_size, max_files, compress),
        ),
    };
    LogWriter::open(Path::new(path), format, rotation)
        .map(Some)
        .map_err(|e| WireError::internal(format!("open log {path}: {e}")))
}

/// The files of `local` have a folder to themselves, inside the container's.
fn make_folder(log: &str) -> Result<()> {
    let Some(folder) = Path::new(log).parent() else {
        return Ok(());
    };
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(WireError::internal(
            format!("make folder {}: {e}", folder.display()),
        )),
        _ => Ok(()),
    }
}

pub(crate) fn streams<'a>(
    theirs: Option<&'a crate::stdio::Theirs>,
    process: Option<&Process>,
) -> gantry_oci::Stdio<'a> {
    match theirs {
        Some(fds) => gantry_oci::Stdio::Streams(fds.each_ref().map(AsFd::as_fd)),
        None => {
            let size = process.and_then(Process::console_size);
            let part = |n: u64| u16::try_from(n).unwrap_or(0);
            gantry_oci::Stdio::Terminal {
                rows: size.as_ref().map_or(0, |s| part(s.height())),
                cols: size.as_ref().map_or(0, |s| part(s.width())),
            }
        }
    }
}

pub(crate) fn mount(from: &t::Mount) -> MountDesc {
    MountDesc {
        kind: from.kind.clone(),
        source: from.source.clone(),
        options: from.options.clone(),
        lower: from.lower.clone(),
        upper: from.upper.clone(),
        work: from.work.clone(),
    }
}

pub(crate) fn wire(error: LaunchError) -> WireError {
    let kind = match error.kind {
        FailureKind::CommandNotFound => ErrorKind::CommandNotFound,
        FailureKind::NotExecutable | FailureKind::Cwd => ErrorKind::CommandNotExecutable,
        FailureKind::User | FailureKind::InvalidSpec | FailureKind::MountSource => {
            ErrorKind::InvalidArgument
        }
        FailureKind::Unsupported => ErrorKind::Unimplemented,
        FailureKind::Gone => ErrorKind::Conflict,
        FailureKind::Mount
        | FailureKind::Namespace
        | FailureKind::Cgroup
        | FailureKind::Seccomp
        | FailureKind::System => {
            return failure::of(gantry_sys::Errno::from_raw(error.errno), error.message);
        }
    };
    WireError::new(kind, error.message)
}
