//! A volume's first content, copied without root (owners are kept).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::error::Kind;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/data/sub")).unwrap();
        fs::create_dir(dir.path().join("volume")).unwrap();
        Self(dir)
    }

    fn path(&self, rest: &str) -> std::path::PathBuf {
        self.0.path().join(rest)
    }

    fn copy(&self, path: &str, limits: &Limits) -> Result<Copied> {
        let root = fs::File::open(self.path("root")).unwrap().into();
        let target = fs::File::open(self.path("volume")).unwrap().into();
        copy_up(&root, Path::new(path), &target, Owners::Keep, limits)
    }
}

#[test]
fn everything_is_kept() {
    let place = Place::new();
    fs::write(place.path("root/data/file"), "content").unwrap();
    fs::set_permissions(
        place.path("root/data/file"),
        fs::Permissions::from_mode(0o4751),
    )
    .unwrap();
    fs::hard_link(
        place.path("root/data/file"),
        place.path("root/data/sub/same"),
    )
    .unwrap();
    symlink("/etc/shadow", place.path("root/data/link")).unwrap();
    nix::unistd::mkfifo(&place.path("root/data/pipe"), Mode::S_IRUSR).unwrap();
    fs::set_permissions(place.path("root/data"), fs::Permissions::from_mode(0o1770)).unwrap();
    let copied = place.copy("/data", &Limits::default()).unwrap();
    assert_eq!((copied.entries, copied.bytes), (5, 7));
    let file = fs::metadata(place.path("volume/file")).unwrap();
    assert_eq!(
        (file.permissions().mode() & 0o7777, file.nlink()),
        (0o4751, 2)
    );
    assert_eq!(
        file.ino(),
        fs::metadata(place.path("volume/sub/same")).unwrap().ino()
    );
    assert_eq!(
        file.mtime(),
        fs::metadata(place.path("root/data/file")).unwrap().mtime()
    );
    assert_eq!(
        fs::read_link(place.path("volume/link")).unwrap(),
        Path::new("/etc/shadow")
    );
    assert_eq!(
        fs::metadata(place.path("volume"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o1770
    );
}

#[test]
fn a_volume_in_use_and_a_missing_path_are_left_alone() {
    let place = Place::new();
    fs::write(place.path("root/data/file"), "image").unwrap();
    assert_eq!(
        place.copy("/missing", &Limits::default()).unwrap(),
        Copied::default()
    );
    assert_eq!(
        place.copy("/data/file", &Limits::default()).unwrap(),
        Copied::default()
    );
    fs::write(place.path("volume/mine"), "user").unwrap();
    assert_eq!(
        place.copy("/data", &Limits::default()).unwrap(),
        Copied::default()
    );
    assert_eq!(fs::read_dir(place.path("volume")).unwrap().count(), 1);
}

#[test]
fn links_stay_in_the_image() {
    let place = Place::new();
    fs::write(place.path("secret"), "host").unwrap();
    symlink("../..", place.path("root/up")).unwrap();
    // Beneath the root `../..` is the root itself: its content comes, the host's does not.
    place.copy("/up", &Limits::default()).unwrap();
    assert!(fs::symlink_metadata(place.path("volume/data")).is_ok());
    assert!(fs::symlink_metadata(place.path("volume/secret")).is_err());
}

#[test]
fn limits_hold() {
    let place = Place::new();
    fs::write(place.path("root/data/file"), "12345").unwrap();
    let kind = |limits| place.copy("/data", &limits).unwrap_err().kind();
    assert_eq!(
        kind(Limits {
            bytes: 4,
            ..Limits::default()
        }),
        Kind::Limit
    );
    for left in ["file", "sub"] {
        let left = place.path("volume").join(left);
        let _ = fs::remove_file(&left);
        let _ = fs::remove_dir(&left);
    }
    assert_eq!(
        kind(Limits {
            entries: 1,
            ..Limits::default()
        }),
        Kind::Limit
    );
}
