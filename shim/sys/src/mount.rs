//! Mounts as descriptors: made detached (fsopen/fsmount, open_tree), changed (mount_setattr), then placed
//! (move_mount). Nothing here resolves a container's path by string: targets are descriptors.
//! Floor: Linux 5.12 (mount_setattr).

mod context;
mod overlay;
mod table;

pub use context::{FsContext, devpts, mqueue, proc, sysfs, tmpfs};
pub use overlay::{Overlay, overlay};
pub use table::{MountEntry, parse_table, root_mount_id, table};

use crate::error::{Error, Result};
use crate::raw::{check, check_fd, cstr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Mount attributes (`MOUNT_ATTR_*`), on a mount and not on its superblock.
pub type Attr = u64;
/// Read-only.
pub const RDONLY: Attr = libc::MOUNT_ATTR_RDONLY;
/// Set-user-id bits have no effect.
pub const NOSUID: Attr = libc::MOUNT_ATTR_NOSUID;
/// Device nodes cannot be opened.
pub const NODEV: Attr = libc::MOUNT_ATTR_NODEV;
/// Nothing can be executed.
pub const NOEXEC: Attr = libc::MOUNT_ATTR_NOEXEC;
/// Access times are never updated.
pub const NOATIME: Attr = libc::MOUNT_ATTR_NOATIME;
/// Access times are always updated.
pub const STRICTATIME: Attr = libc::MOUNT_ATTR_STRICTATIME;
/// Directory access times are never updated.
pub const NODIRATIME: Attr = libc::MOUNT_ATTR_NODIRATIME;
/// Symlinks are not followed.
pub const NOSYMFOLLOW: Attr = libc::MOUNT_ATTR_NOSYMFOLLOW;
/// The field of the access time bits; cleared when one of them is set.
pub const ATIME_MASK: Attr = libc::MOUNT_ATTR__ATIME;

/// How mount events travel between copies of a mount (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Neither way.
    Private,
    /// From the host in, not out.
    Slave,
    /// Both ways.
    Shared,
    /// As private, and cannot be bind-mounted.
    Unbindable,
}

/// A detached copy of the mount at `path` (a bind mount that is nowhere yet), with its submounts when `recursive`.
///
/// # Errors
/// ENOENT, EPERM, EINVAL for an unbindable mount.
pub fn open_tree(dir: impl AsFd, path: &Path, recursive: bool) -> Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE
        | if recursive {
            libc::AT_RECURSIVE as u32
        } else {
            0
        };
    raw_open_tree(dir.as_fd().as_raw_fd(), path, flags)
}

/// As [`open_tree`], of a host path named by the operator (absolute).
///
/// # Errors
/// As [`open_tree`].
pub fn open_tree_host(path: &Path, recursive: bool) -> Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE
        | if recursive {
            libc::AT_RECURSIVE as u32
        } else {
            0
        };
    raw_open_tree(libc::AT_FDCWD, path, flags)
}

/// As [`open_tree`], of what a descriptor stands for.
///
/// # Errors
/// As [`open_tree`].
pub fn open_tree_fd(fd: impl AsFd, recursive: bool) -> Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE
        | libc::AT_EMPTY_PATH as u32
        | if recursive {
            libc::AT_RECURSIVE as u32
        } else {
            0
        };
    raw_open_tree(fd.as_fd().as_raw_fd(), Path::new(""), flags)
}

fn raw_open_tree(dir: i32, path: &Path, flags: u32) -> Result<OwnedFd> {
    let text = cstr(path.as_os_str().as_bytes(), "clone mount")?;
    // SAFETY: NUL-terminated path, plain integers.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            dir,
            text.as_ptr(),
            flags | libc::OPEN_TREE_CLOEXEC,
        )
    };
    check_fd(ret, || format!("clone mount {}", path.display()))
}

/// Places a detached mount onto the file or directory `target` stands for.
///
/// # Errors
/// EINVAL when the target is not in this mount namespace, ENOTDIR when one is a directory and the other is not.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: empty NUL-terminated paths, borrowed descriptors.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            target.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
        )
    };
    check(ret, || "attach mount".into()).map(|_| ())
}

/// Changes attributes of a mount (of its submounts too when `recursive`).
///
/// # Errors
/// EPERM for attributes locked by another user namespace, EINVAL when nothing can be changed that way.
pub fn set_attr(mount: impl AsFd, set: Attr, clear: Attr, recursive: bool) -> Result<()> {
    setattr(mount, set, clear, 0, None, recursive)
}

/// Maps the owners seen through a detached mount as the user namespace `users` says (`MOUNT_ATTR_IDMAP`, Linux 5.12).
///
/// # Errors
/// EINVAL where the file system cannot be mapped or the mount is attached or mapped already.
pub fn set_idmap(mount: impl AsFd, users: impl AsFd, recursive: bool) -> Result<()> {
    let users = users.as_fd().as_raw_fd();
    setattr(mount, libc::MOUNT_ATTR_IDMAP, 0, 0, Some(users), recursive)
        .map_err(|e| Error::new("map owners of mount", e.errno()))
}

/// Changes how events travel to and from a mount.
///
/// # Errors
/// EINVAL when the descriptor is not the root of a mount.
pub fn set_propagation(mount: impl AsFd, how: Propagation, recursive: bool) -> Result<()> {
    setattr(mount, 0, 0, propagation_bits(how), None, recursive)
}

fn propagation_bits(how: Propagation) -> u64 {
    match how {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Shared => libc::MS_SHARED,
        Propagation::Unbindable => libc::MS_UNBINDABLE,
    }
}

fn setattr(
    mount: impl AsFd,
    set: Attr,
    clear: Attr,
    propagation: u64,
    users: Option<i32>,
    recursive: bool,
) -> Result<()> {
    let clear = if set & ATIME_MASK != 0 {
        clear | ATIME_MASK
    } else {
        clear
    };
    let attr = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation,
        userns_fd: users.unwrap_or(0).unsigned_abs().into(),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `attr` lives through the call and its size is passed along.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    check(ret, || "set mount attributes".into()).map(|_| ())
}

/// Sets the propagation of every mount of the calling process's namespace.
///
/// # Errors
/// EPERM outside a namespace of our own.
pub fn set_namespace_propagation(how: Propagation) -> Result<()> {
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: source, type and data are ignored for a change of propagation.
    let ret = unsafe {
        libc::mount(
            null,
            c"/".as_ptr(),
            null,
            libc::MS_REC | propagation_bits(how),
            null.cast(),
        )
    };
    check(ret.into(), || "set propagation of /".into()).map(|_| ())
}

/// Makes the mount `root` stands for the root of this mount namespace, drops the old one and leaves the process in
/// the new `/`. The mount must be attached in this namespace.
///
/// # Errors
/// EINVAL when propagation is shared or the root is an initramfs.
pub fn pivot_root(root: impl AsFd) -> Result<()> {
    nix::unistd::fchdir(&root).map_err(|e| Error::new("enter new root", e))?;
    let old = std::fs::File::open("/").map_err(|e| Error::from_io("open old root", &e))?;
    // "." twice puts the old root on top of the new one (pivot_root(2)), from where it is taken off at once.
    // SAFETY: constant NUL-terminated paths.
    let ret = unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) };
    check(ret, || "pivot root".into())?;
    // Its mounts may be peers of the host's, where taking them off would then show.
    set_propagation(&old, Propagation::Private, true)?;
    nix::unistd::fchdir(&old).map_err(|e| Error::new("enter old root", e))?;
    detach(Path::new("."))?;
    nix::unistd::chdir("/").map_err(|e| Error::new("enter new /", e))
}

/// Takes the mount at `path` out of the tree at once; it lives on while something uses it.
///
/// # Errors
/// EINVAL when nothing is mounted there.
pub fn detach(path: &Path) -> Result<()> {
    unmount(path, libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW)
}

/// Unmounts `path`, or says EBUSY.
///
/// # Errors
/// EBUSY while in use, EINVAL when nothing is mounted there.
pub fn unmount(path: &Path, flags: i32) -> Result<()> {
    let text = cstr(path.as_os_str().as_bytes(), "unmount")?;
    // SAFETY: NUL-terminated path.
    check(
        unsafe { libc::umount2(text.as_ptr(), flags) }.into(),
        || format!("unmount {}", path.display()),
    )
    .map(|_| ())
}
