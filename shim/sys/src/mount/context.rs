//! New superblocks by fsopen(2), fsconfig(2), fsmount(2) (Linux 5.2), with the kernel's own words on failure.

use super::{Attr, NODEV, NOEXEC, NOSUID};
use crate::error::{Error, Result};
use crate::raw::{check, check_fd, cstr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const SET_FLAG: u32 = 0;
const SET_STRING: u32 = 1;
const SET_FD: u32 = 5;
const CMD_CREATE: u32 = 6;

/// A file system being configured.
#[derive(Debug)]
pub struct FsContext {
    fd: OwnedFd,
    kind: String,
}

impl FsContext {
    /// Starts a context for a file system type.
    ///
    /// # Errors
    /// ENODEV when the kernel has no such type.
    pub fn open(kind: &str) -> Result<Self> {
        let text = cstr(kind.as_bytes(), "open file system type")?;
        // SAFETY: NUL-terminated name; 1 is FSOPEN_CLOEXEC.
        let ret = unsafe { libc::syscall(libc::SYS_fsopen, text.as_ptr(), 1) };
        let fd = check_fd(ret, || format!("open file system type {kind}"))?;
        Ok(Self {
            fd,
            kind: kind.into(),
        })
    }

    /// A key with a text value (the kernel takes 255 bytes at most).
    ///
    /// # Errors
    /// EINVAL for a key or value the file system does not take.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let value_c = cstr(value.as_bytes(), "mount option")?;
        self.config(SET_STRING, Some(key), value_c.as_ptr().cast(), 0)
    }

    /// A key without a value.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_flag(&self, key: &str) -> Result<()> {
        self.config(SET_FLAG, Some(key), std::ptr::null(), 0)
    }

    /// A key whose value is a descriptor.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_fd(&self, key: &str, fd: impl AsFd) -> Result<()> {
        self.config(SET_FD, Some(key), std::ptr::null(), fd.as_fd().as_raw_fd())
    }

    /// Makes the superblock and a detached mount of it.
    ///
    /// # Errors
    /// What the file system answers, with its own message.
    pub fn mount(self, attr: Attr) -> Result<OwnedFd> {
        self.config(CMD_CREATE, None, std::ptr::null(), 0)?;
        // SAFETY: plain integers; 1 is FSMOUNT_CLOEXEC.
        let ret = unsafe { libc::syscall(libc::SYS_fsmount, self.fd.as_raw_fd(), 1, attr) };
        check_fd(ret, || format!("mount {}{}", self.kind, self.words()))
    }

    fn config(
        &self,
        command: u32,
        key: Option<&str>,
        value: *const libc::c_void,
        aux: i32,
    ) -> Result<()> {
        let key_c = key
            .map(|k| cstr(k.as_bytes(), "mount option"))
            .transpose()?;
        let key_p = key_c.as_ref().map_or(std::ptr::null(), |k| k.as_ptr());
        // SAFETY: key and value are null or NUL-terminated and outlive the call.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.fd.as_raw_fd(),
                command,
                key_p,
                value,
                aux,
            )
        };
        check(ret, String::new).map(|_| ()).map_err(|e| {
            let what = key.map_or_else(
                || format!("make {}", self.kind),
                |k| format!("set {k} of {}", self.kind),
            );
            Error::new(format!("{what}{}", self.words()), e.errno())
        })
    }

    /// What the kernel logged into this context, as " (…)" or nothing.
    fn words(&self) -> String {
        let mut lines = Vec::new();
        let mut buffer = [0_u8; 512];
        while let Ok(n) = nix::unistd::read(&self.fd, &mut buffer) {
            let line = String::from_utf8_lossy(&buffer[..n]);
            lines.push(
                line.trim()
                    .trim_start_matches(['e', 'w', 'i'])
                    .trim()
                    .to_owned(),
            );
            if n == 0 || lines.len() > 8 {
                break;
            }
        }
        if lines.is_empty() {
            String::new()
        } else {
            format!(" ({})", lines.join("; "))
        }
    }
}

/// A fresh tmpfs: `options` are its own (`mode=755`, `size=64k`, …).
///
/// # Errors
/// As [`FsContext::mount`].
pub fn tmpfs(options: &[(&str, &str)], attr: Attr) -> Result<OwnedFd> {
    let context = FsContext::open("tmpfs")?;
    context.set("source", "tmpfs")?;
    for (key, value) in options {
        context.set(key, value)?;
    }
    context.mount(attr)
}

/// procfs of the calling process's PID namespace.
///
/// # Errors
/// EPERM when a mount in this namespace hides part of /proc (user namespaces).
pub fn proc(attr: Attr) -> Result<OwnedFd> {
    let context = FsContext::open("proc")?;
    context.set("source", "proc")?;
    context.mount(attr | NOSUID | NODEV | NOEXEC)
}

/// sysfs of the calling process's network namespace.
///
/// # Errors
/// EPERM when the network namespace belongs to another user namespace.
pub fn sysfs(attr: Attr) -> Result<OwnedFd> {
    let context = FsContext::open("sysfs")?;
    context.set("source", "sysfs")?;
    context.mount(attr | NOSUID | NODEV | NOEXEC)
}

/// A fresh devpts instance with a usable `ptmx`; terminals belong to group `gid` when given.
///
/// # Errors
/// As [`FsContext::mount`].
pub fn devpts(gid: Option<u32>) -> Result<OwnedFd> {
    let context = FsContext::open("devpts")?;
    context.set("source", "devpts")?;
    context.set("ptmxmode", "0666")?;
    context.set("mode", "0620")?;
    if let Some(gid) = gid {
        context.set("gid", &gid.to_string())?;
    }
    context.mount(NOSUID | NOEXEC)
}

/// The POSIX message queues of the calling process's IPC namespace.
///
/// # Errors
/// As [`FsContext::mount`].
pub fn mqueue(attr: Attr) -> Result<OwnedFd> {
    let context = FsContext::open("mqueue")?;
    context.set("source", "mqueue")?;
    context.mount(attr | NOSUID | NODEV | NOEXEC)
}
