//! Device nodes and links of /dev. Nodes are made in a directory held by descriptor; where a node is there already
//! it must be the very device, or the start fails.

use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::users::Maps;
use gantry_sys::beneath::{self, Links};
use gantry_sys::{Errno, Error};
use nix::sys::stat::{Mode, SFlag, fstat, makedev, mknodat};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Nodes every container has (runtime-spec, default devices).
const NODES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links every container has.
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
    ("pts/ptmx", "ptmx"),
];

/// Fills a /dev.
pub(super) fn fill(dev: &OwnedFd) -> Result<()> {
    for (name, major, minor) in NODES {
        node(
            dev,
            Path::new(name),
            SFlag::S_IFCHR,
            0o666,
            makedev(major, minor),
        )?;
    }
    for (to, name) in LINKS {
        match nix::unistd::symlinkat(to, dev, name) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err(Error::new(format!("link /dev/{name}"), e).into()),
        }
    }
    Ok(())
}

/// Makes one node, or finds it there.
fn node(dir: &OwnedFd, name: &Path, kind: SFlag, mode: u32, device: u64) -> Result<()> {
    let made = mknodat(dir, name, kind, Mode::from_bits_truncate(mode), device);
    match made {
        Ok(()) => return Ok(()),
        Err(Errno::EEXIST) => {}
        Err(e) => {
            return Err(Error::new(format!("make device {}", name.display()), e))
                .kind(FailureKind::Mount);
        }
    }
    let there = beneath::open(
        dir,
        name,
        nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_NOFOLLOW,
        Mode::empty(),
        Links::Refuse,
    );
    let stat = there
        .and_then(fstat)
        .map_err(|e| Error::new(format!("look at {}", name.display()), e))?;
    if stat.st_mode & libc::S_IFMT == kind.bits() && stat.st_rdev == device {
        return Ok(());
    }
    Err(LaunchError::new(
        FailureKind::Mount,
        format!("make device {}: something else is there", name.display()),
    ))
}

/// Devices of the configuration beyond the default ones.
pub(super) fn extra(spec: &Spec, root: &OwnedFd, maps: Option<&Maps>) -> Result<()> {
    let list = spec.linux().as_ref().and_then(|l| l.devices().as_ref());
    list.into_iter()
        .flatten()
        .try_for_each(|d| one(d, root, maps))
}

fn one(d: &LinuxDevice, root: &OwnedFd, maps: Option<&Maps>) -> Result<()> {
    let bad = || LaunchError::spec(format!("device path {}", d.path().display()));
    let (parent, name) = (
        d.path().parent().ok_or_else(bad)?,
        d.path().file_name().ok_or_else(bad)?,
    );
    let kind = match d.typ() {
        LinuxDeviceType::B => SFlag::S_IFBLK,
        LinuxDeviceType::C | LinuxDeviceType::U => SFlag::S_IFCHR,
        LinuxDeviceType::P => SFlag::S_IFIFO,
        LinuxDeviceType::A => return Err(bad()),
    };
    let number = |n: i64| u64::try_from(n).map_err(|_| bad());
    let device = makedev(number(d.major())?, number(d.minor())?);
    let device = if kind == SFlag::S_IFIFO { 0 } else { device };
    let dir = beneath::mkdir_all(root, parent, 0o755, Links::Refuse).kind(FailureKind::Mount)?;
    let name = Path::new(name);
    node(
        &dir,
        name,
        kind,
        d.file_mode().unwrap_or(0o666) & 0o7777,
        device,
    )?;
    if d.uid().unwrap_or(0) != 0 || d.gid().unwrap_or(0) != 0 {
        let (mut uid, mut gid) = (d.uid(), d.gid());
        if let Some(maps) = maps {
            uid = uid.map(|n| maps.user(n)).transpose()?;
            gid = gid.map(|n| maps.group(n)).transpose()?;
        }
        let (uid, gid) = (
            uid.map(nix::unistd::Uid::from_raw),
            gid.map(nix::unistd::Gid::from_raw),
        );
        nix::unistd::fchownat(
            &dir,
            name,
            uid,
            gid,
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .map_err(|e| Error::new(format!("own device {}", d.path().display()), e))?;
    }
    Ok(())
}
