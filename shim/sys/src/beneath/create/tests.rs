//! What must stay inside, stays inside.

use super::*;
use std::os::unix::fs::symlink;

struct Tree(std::path::PathBuf);

impl Tree {
    fn new(name: &str) -> (Self, OwnedFd) {
        let path =
            std::env::temp_dir().join(format!("gantry-beneath-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("root/etc")).unwrap();
        std::fs::create_dir_all(path.join("outside")).unwrap();
        let fd = std::fs::File::open(path.join("root")).unwrap().into();
        (Self(path), fd)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn absolute_and_dotdot_links_stay_inside() {
    let (t, root) = Tree::new("links");
    symlink("/etc", t.0.join("root/abs")).unwrap();
    symlink("../../outside", t.0.join("root/up")).unwrap();
    mkdir_all(&root, Path::new("/abs/made"), 0o755, Links::InRoot).unwrap();
    assert!(t.0.join("root/etc/made").is_dir());
    // Dangling inside the root: what it names is made there.
    mkdir_all(&root, Path::new("up/x"), 0o755, Links::InRoot).unwrap();
    assert!(t.0.join("root/outside/x").is_dir());
    assert!(
        std::fs::read_dir(t.0.join("outside"))
            .unwrap()
            .next()
            .is_none()
    );
    mkdir_all(&root, Path::new("../../../deep/er"), 0o755, Links::InRoot).unwrap();
    assert!(t.0.join("root/deep/er").is_dir());
}

#[test]
fn refused_links_are_an_error() {
    let (t, root) = Tree::new("refuse");
    symlink("/etc", t.0.join("root/proc")).unwrap();
    let e = open(&root, Path::new("/proc"), libc::O_PATH, Links::Refuse).unwrap_err();
    assert_eq!(e.errno(), Errno::ELOOP);
    assert_eq!(
        mkdir_all(&root, Path::new("/proc"), 0o755, Links::Refuse)
            .unwrap_err()
            .errno(),
        Errno::ELOOP
    );
}

#[test]
fn touch_makes_parents_and_keeps_what_is_there() {
    let (t, root) = Tree::new("touch");
    touch(&root, Path::new("/etc/sub/hosts"), 0o644, Links::InRoot).unwrap();
    assert!(t.0.join("root/etc/sub/hosts").is_file());
    std::fs::write(t.0.join("root/etc/sub/hosts"), "x").unwrap();
    touch(&root, Path::new("/etc/sub/hosts"), 0o644, Links::InRoot).unwrap();
    assert_eq!(std::fs::read(t.0.join("root/etc/sub/hosts")).unwrap(), b"x");
}

#[test]
fn reading_is_bounded_and_never_blocks() {
    let (t, root) = Tree::new("read");
    std::fs::write(t.0.join("root/etc/passwd"), "abc").unwrap();
    assert_eq!(
        read_file(&root, Path::new("/etc/passwd"), 3).unwrap(),
        b"abc"
    );
    assert_eq!(
        read_file(&root, Path::new("/etc/passwd"), 2)
            .unwrap_err()
            .errno(),
        Errno::EFBIG
    );
    nix::unistd::mkfifo(&t.0.join("root/etc/group"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert_eq!(
        read_file(&root, Path::new("/etc/group"), 9)
            .unwrap_err()
            .errno(),
        Errno::EINVAL
    );
}

#[test]
fn dangling_links_are_followed_inside_and_loops_end() {
    let (t, root) = Tree::new("dangling");
    symlink("../run/stub.conf", t.0.join("root/etc/resolv.conf")).unwrap();
    touch(&root, Path::new("/etc/resolv.conf"), 0o644, Links::InRoot).unwrap();
    assert!(t.0.join("root/run/stub.conf").is_file());
    symlink("b", t.0.join("root/a")).unwrap();
    symlink("a", t.0.join("root/b")).unwrap();
    assert_eq!(
        mkdir_all(&root, Path::new("a/x"), 0o755, Links::InRoot)
            .unwrap_err()
            .errno(),
        Errno::ELOOP
    );
    symlink("/nowhere", t.0.join("root/dev")).unwrap();
    assert_eq!(
        mkdir_all(&root, Path::new("dev/pts"), 0o755, Links::Refuse)
            .unwrap_err()
            .errno(),
        Errno::ELOOP
    );
    assert!(
        std::fs::read_dir(t.0.join("outside"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn a_file_in_the_way_is_an_error() {
    let (t, root) = Tree::new("way");
    std::fs::write(t.0.join("root/f"), "").unwrap();
    assert_eq!(
        mkdir_all(&root, Path::new("f/x"), 0o755, Links::InRoot)
            .unwrap_err()
            .errno(),
        Errno::ENOTDIR
    );
    assert_eq!(
        touch(&root, Path::new("f/x"), 0o644, Links::InRoot)
            .unwrap_err()
            .errno(),
        Errno::ENOTDIR
    );
}
