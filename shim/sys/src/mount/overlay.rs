//! Overlay mounts with many lower directories, detached. Newer kernels (6.7) take one `lowerdir+` per layer; older
//! ones take one page of options, so layers are named by descriptor there.

use super::{Attr, FsContext, detach, open_tree_fd};
use crate::error::{Error, Result};
use crate::raw::check;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What an overlay is made of. Lower directories go from the topmost to the base.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// Read-only layers, topmost first; at least one.
    pub lower: Vec<PathBuf>,
    /// Writable layer and its work directory (same file system). Without it the overlay is read-only.
    pub upper: Option<(PathBuf, PathBuf)>,
    /// Further options such as `("index", "off")`, `("volatile", "")`.
    pub options: Vec<(String, String)>,
}

/// Mounts it, detached. Call it in a mount namespace of your own: before Linux 6.7 it is attached for a moment onto
/// its topmost lower directory.
///
/// # Errors
/// ESTALE, EBUSY (upper in use with `index=on`), EINVAL (file system not fit for an upper), with the kernel's words.
/// EROFS when the kernel made a read-only overlay although an upper was asked for.
pub fn overlay(what: &Overlay, attr: Attr) -> Result<OwnedFd> {
    if what.lower.is_empty() {
        return Err(Error::new(
            "mount overlay without a lower directory",
            Errno::EINVAL,
        ));
    }
    let mount = match by_keys(what, attr) {
        Ok(Some(mount)) => mount,
        Ok(None) => by_page(what, attr)?,
        // Before 6.5 overlay takes any key and only complains when it is made: let the old way have the last word.
        Err(first) if first.errno() == Errno::EINVAL => {
            by_page(what, attr).map_err(|e| match e.errno() {
                Errno::EINVAL => first,
                _ => e,
            })?
        }
        Err(e) => return Err(e),
    };
    if what.upper.is_some() {
        refuse_readonly(&mount)?;
    }
    Ok(mount)
}

/// An upper layer the kernel could not use makes the overlay read-only with a line in dmesg only.
fn refuse_readonly(mount: &OwnedFd) -> Result<()> {
    let stat = nix::sys::statvfs::fstatvfs(mount).map_err(|e| Error::new("look at overlay", e))?;
    if stat.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY) {
        return Err(Error::new(
            "mount overlay: the kernel made it read-only",
            Errno::EROFS,
        ));
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Error::new("overlay directory name is not UTF-8", Errno::EINVAL))
}

/// `None` when this kernel does not know `lowerdir+`.
fn by_keys(what: &Overlay, attr: Attr) -> Result<Option<OwnedFd>> {
    let longest = what
        .lower
        .iter()
        .chain(what.upper.iter().flat_map(|(u, w)| [u, w]))
        .map(|p| p.as_os_str().len())
        .max();
    if longest > Some(255) {
        return Ok(None);
    }
    let context = FsContext::open("overlay")?;
    context.set("source", "overlay")?;
    for (i, lower) in what.lower.iter().enumerate() {
        match context.set("lowerdir+", text(lower)?) {
            Err(e) if i == 0 && e.errno() == Errno::EINVAL => return Ok(None),
            Err(e) => return Err(e.within(&format!("lower directory {}", lower.display()))),
            Ok(()) => {}
        }
    }
    if let Some((upper, work)) = &what.upper {
        context
            .set("upperdir", text(upper)?)
            .map_err(|e| e.within(&format!("upper directory {}", upper.display())))?;
        context
            .set("workdir", text(work)?)
            .map_err(|e| e.within(&format!("work directory {}", work.display())))?;
    }
    for (key, value) in &what.options {
        if value.is_empty() {
            context.set_flag(key)?
        } else {
            context.set(key, value)?
        }
    }
    context.mount(attr).map(Some)
}

/// One page of options for mount(2): directories as /proc/self/fd names, so that 150 layers fit.
fn by_page(what: &Overlay, attr: Attr) -> Result<OwnedFd> {
    let open = |p: &PathBuf| -> Result<OwnedFd> {
        let flags = nix::fcntl::OFlag::O_PATH
            | nix::fcntl::OFlag::O_DIRECTORY
            | nix::fcntl::OFlag::O_CLOEXEC;
        nix::fcntl::open(p, flags, nix::sys::stat::Mode::empty())
            .map_err(|e| Error::new(format!("open layer directory {}", p.display()), e))
    };
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let lower: Vec<OwnedFd> = what.lower.iter().map(open).collect::<Result<_>>()?;
    let mut data = format!(
        "lowerdir={}",
        lower.iter().map(name).collect::<Vec<_>>().join(":")
    );
    let mut held = Vec::new();
    if let Some((upper, work)) = &what.upper {
        let (upper, work) = (open(upper)?, open(work)?);
        data += &format!(",upperdir={},workdir={}", name(&upper), name(&work));
        held.extend([upper, work]);
    }
    for (key, value) in &what.options {
        data += &if value.is_empty() {
            format!(",{key}")
        } else {
            format!(",{key}={value}")
        };
    }
    if data.len() >= 4096 {
        return Err(Error::new(
            format!("mount overlay: {} layers do not fit", lower.len()),
            Errno::E2BIG,
        ));
    }
    let data =
        CString::new(data).map_err(|_| Error::new("overlay option holds a NUL", Errno::EINVAL))?;
    let place = CString::new(name(&lower[0])).expect("a number holds no NUL");
    // SAFETY: all strings are NUL-terminated and outlive the call.
    let ret = unsafe {
        libc::mount(
            c"overlay".as_ptr(),
            place.as_ptr(),
            c"overlay".as_ptr(),
            0,
            data.as_ptr().cast(),
        )
    };
    check(ret.into(), || "mount overlay".into())?;
    // The descriptor stands for the directory below the new mount; a fresh walk finds the mount itself.
    let result = open(&what.lower[0]).and_then(|top| open_tree_fd(&top, false));
    detach(&what.lower[0])?;
    let mount = result?;
    if attr != 0 {
        super::set_attr(&mount, attr, 0, false)?;
    }
    drop(held);
    Ok(mount)
}

impl Overlay {
    /// From mount(8)-style options (`lowerdir=a:b,upperdir=…`, with `\:` and `\\` escapes); unknown ones are kept.
    ///
    /// # Errors
    /// EINVAL when there is no `lowerdir`, or only one of `upperdir` and `workdir`.
    pub fn from_options<'a>(options: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut made = Self::default();
        let (mut upper, mut work) = (None, None);
        for option in options {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "lowerdir" => made.lower = split_colons(value),
                "lowerdir+" => made.lower.push(value.into()),
                "upperdir" => upper = Some(PathBuf::from(value)),
                "workdir" => work = Some(PathBuf::from(value)),
                _ => made.options.push((key.into(), value.into())),
            }
        }
        made.upper = match (upper, work) {
            (Some(u), Some(w)) => Some((u, w)),
            (None, None) => None,
            _ => {
                return Err(Error::new(
                    "overlay options name only one of upperdir and workdir",
                    Errno::EINVAL,
                ));
            }
        };
        if made.lower.is_empty() {
            return Err(Error::new(
                "overlay options name no lowerdir",
                Errno::EINVAL,
            ));
        }
        Ok(made)
    }
}

fn split_colons(value: &str) -> Vec<PathBuf> {
    let mut parts = vec![String::new()];
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => parts.push(String::new()),
            '\\' => parts.last_mut().expect("never empty").extend(chars.next()),
            c => parts.last_mut().expect("never empty").push(c),
        }
    }
    parts.into_iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_apart() {
        let o = Overlay::from_options([
            "lowerdir=/a\\:b:/c",
            "upperdir=/u",
            "workdir=/w",
            "index=off",
            "volatile",
        ])
        .unwrap();
        assert_eq!(o.lower, [PathBuf::from("/a:b"), PathBuf::from("/c")]);
        assert_eq!(o.upper, Some(("/u".into(), "/w".into())));
        assert_eq!(o.options[1], ("volatile".into(), String::new()));
        assert!(Overlay::from_options(["upperdir=/u"]).is_err());
        assert!(Overlay::from_options(["lowerdir=/a", "upperdir=/u"]).is_err());
    }
}
