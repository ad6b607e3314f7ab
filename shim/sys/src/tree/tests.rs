//! Trees of every kind of file an ordinary user can make.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gantry-tree-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("from/sub")).unwrap();
        fs::create_dir_all(path.join("to")).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fill(from: &Path) {
    fs::write(from.join("sub/file"), "content").unwrap();
    fs::hard_link(from.join("sub/file"), from.join("link")).unwrap();
    symlink("/nowhere", from.join("symlink")).unwrap();
    nix::unistd::mkfifo(&from.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let sparse = File::create(from.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 8 << 20).unwrap();
    fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(from.join("sub"), fs::Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn a_copy_has_all_of_it() {
    let folder = Folder::new("copy");
    let (from, to) = (folder.0.join("from"), folder.0.join("to"));
    fill(&from);
    let copied = copy(&from, &to, || false).unwrap();
    assert_eq!(copied.entries, 6);
    let file = fs::metadata(to.join("sub/file")).unwrap();
    assert_eq!(file.mode() & 0o7777, 0o4751);
    assert_eq!(file.ino(), fs::metadata(to.join("link")).unwrap().ino());
    assert_eq!(file.nlink(), 2);
    let old = fs::metadata(from.join("sub/file")).unwrap();
    assert_eq!(
        (file.mtime(), file.mtime_nsec()),
        (old.mtime(), old.mtime_nsec())
    );
    assert_eq!(fs::metadata(to.join("sub")).unwrap().mode() & 0o7777, 0o555);
    let times = |p: &Path| fs::metadata(p).unwrap().modified().unwrap();
    assert_eq!(times(&to.join("sub")), times(&from.join("sub")));
    assert_eq!(
        fs::read_link(to.join("symlink")).unwrap(),
        Path::new("/nowhere")
    );
    let sparse = fs::metadata(to.join("sparse")).unwrap();
    assert_eq!(sparse.len(), (8 << 20) + 3);
    assert!(sparse.blocks() < 2048, "{} blocks", sparse.blocks());
    assert_eq!(fs::read(to.join("sub/file")).unwrap(), b"content");
    fs::set_permissions(from.join("sub"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(to.join("sub"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn extended_attributes_are_copied() {
    let folder = Folder::new("xattr");
    let (from, to) = (folder.0.join("from"), folder.0.join("to"));
    fs::write(from.join("file"), "x").unwrap();
    let file = File::open(from.join("file")).unwrap();
    // Some temporary file systems have no user attributes: then there is nothing to copy.
    if crate::xattr::set(&file, c"user.gantry", b"value").is_ok() {
        copy(&from, &to, || false).unwrap();
        let copied = File::open(to.join("file")).unwrap();
        assert_eq!(
            crate::xattr::get(&copied, c"user.gantry").unwrap(),
            b"value"
        );
    }
}

#[test]
fn space_counts_hard_links_once_and_no_holes() {
    let folder = Folder::new("space");
    let from = folder.0.join("from");
    fill(&from);
    let space = space(&from, || false).unwrap();
    // from, sub, file = link, symlink, fifo, sparse
    assert_eq!(space.inodes, 6);
    assert!(space.bytes < 1 << 20, "{} bytes", space.bytes);
    fs::set_permissions(from.join("sub"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn symlinks_are_not_followed_and_cancel_is_heard() {
    let folder = Folder::new("links");
    let from = folder.0.join("from");
    symlink("/", from.join("sub/root")).unwrap();
    assert_eq!(space(&from, || false).unwrap().inodes, 3);
    let error = space(&from, || true).unwrap_err();
    assert_eq!(error.errno(), nix::errno::Errno::ECANCELED);
}
