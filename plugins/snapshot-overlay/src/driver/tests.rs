//! Descriptions of mounts, without mounting.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn driver(root: &Path) -> Overlay {
    Overlay::at(root, vec!["index=off".to_owned()]).unwrap().0
}

fn layer(driver: &Overlay, name: &str, parent: Option<&str>) {
    driver
        .make(Kind::Active, "tmp", parent, Labels::new())
        .unwrap();
    driver.commit_as("tmp", name, Labels::new()).unwrap();
}

fn number(path: &str) -> &str {
    path.rsplit('/').nth(1).unwrap()
}

#[test]
fn one_layer_is_a_bind_mount_and_more_an_overlay() {
    let root = tempfile::tempdir().unwrap();
    let driver = driver(root.path());
    let first = driver
        .make(Kind::Active, "tmp", None, Labels::new())
        .unwrap();
    assert_eq!(first.mounts[0].kind, "bind");
    assert!(!first.mounts[0].options.contains(&"ro".to_owned()));
    driver.commit_as("tmp", "a", Labels::new()).unwrap();
    layer(&driver, "b", Some("a"));
    let one = driver
        .make(Kind::View, "v1", Some("a"), Labels::new())
        .unwrap();
    assert_eq!(one.mounts[0].kind, "bind");
    assert_eq!(number(&one.mounts[0].source), "1");
    assert!(one.mounts[0].options.contains(&"ro".to_owned()));
    let two = driver
        .make(Kind::View, "v2", Some("b"), Labels::new())
        .unwrap();
    assert_eq!(
        (two.mounts[0].kind.as_str(), &two.mounts[0].upper),
        ("overlay", &None)
    );
    let writable = driver
        .make(Kind::Active, "c", Some("b"), Labels::new())
        .unwrap();
    let mount = &writable.mounts[0];
    let lower: Vec<_> = mount.lower.iter().map(|l| number(l)).collect();
    assert_eq!(lower, ["2", "1"]);
    assert_eq!(mount.options, ["index=off"]);
    assert!(Path::new(mount.upper.as_ref().unwrap()).is_dir());
    assert!(Path::new(mount.work.as_ref().unwrap()).is_dir());
    let again = driver
        .make(Kind::Active, "c", Some("b"), Labels::new())
        .unwrap();
    assert_eq!(again.mounts, writable.mounts);
}

#[test]
fn a_new_layer_takes_the_mode_of_the_one_below() {
    let root = tempfile::tempdir().unwrap();
    let driver = driver(root.path());
    let first = driver
        .make(Kind::Active, "tmp", None, Labels::new())
        .unwrap();
    fs::set_permissions(&first.mounts[0].source, fs::Permissions::from_mode(0o1750)).unwrap();
    driver.commit_as("tmp", "a", Labels::new()).unwrap();
    let next = driver
        .make(Kind::Active, "c", Some("a"), Labels::new())
        .unwrap();
    let upper = fs::metadata(next.mounts[0].upper.as_ref().unwrap()).unwrap();
    assert_eq!(upper.permissions().mode() & 0o7777, 0o1750);
}

#[test]
fn a_committed_snapshot_has_no_mount_and_no_work_folder() {
    let root = tempfile::tempdir().unwrap();
    let driver = driver(root.path());
    layer(&driver, "a", None);
    let record = driver.store.get("a").unwrap();
    assert_eq!(
        driver.describe(&record).unwrap_err().code,
        ErrorCode::FailedPrecondition
    );
    assert!(!fs::exists(driver.store.folder(&record).join("work")).unwrap());
}

#[test]
fn usage_counts_the_snapshots_own_files_only() {
    let root = tempfile::tempdir().unwrap();
    let driver = driver(root.path());
    let first = driver
        .make(Kind::Active, "tmp", None, Labels::new())
        .unwrap();
    fs::write(Path::new(&first.mounts[0].source).join("file"), [1; 70_000]).unwrap();
    driver.commit_as("tmp", "a", Labels::new()).unwrap();
    driver
        .make(Kind::Active, "c", Some("a"), Labels::new())
        .unwrap();
    let (a, c) = (
        driver.space("a", || false).unwrap(),
        driver.space("c", || false).unwrap(),
    );
    assert_eq!((a.inodes, c.inodes), (2, 1));
    assert!(a.bytes >= 70_000 && c.bytes < 70_000);
    assert_eq!(
        driver.space("x", || false).unwrap_err().code,
        ErrorCode::NotFound
    );
}
