//! Copies that are independent of each other, without root.

use super::*;

fn driver(root: &Path) -> Native {
    Native::at(root).unwrap().0
}

fn make(driver: &Native, kind: Kind, key: &str, parent: Option<&str>) -> Result<PathBuf> {
    let answer = driver.make(kind, key, parent, Labels::new(), || false)?;
    Ok(PathBuf::from(&answer.mounts[0].source))
}

#[test]
fn a_child_changes_without_its_parent() {
    let root = tempfile::tempdir().unwrap();
    let driver = driver(root.path());
    let base = make(&driver, Kind::Active, "tmp", None).unwrap();
    fs::write(base.join("file"), "old").unwrap();
    driver.store.commit("tmp", "a", Labels::new()).unwrap();
    let child = make(&driver, Kind::Active, "c", Some("a")).unwrap();
    fs::write(child.join("file"), "new").unwrap();
    let view = make(&driver, Kind::View, "v", Some("a")).unwrap();
    assert_eq!(fs::read_to_string(view.join("file")).unwrap(), "old");
    let again = make(&driver, Kind::Active, "c", Some("a")).unwrap();
    assert_eq!(fs::read_to_string(again.join("file")).unwrap(), "new");
    let mount = driver.describe(&driver.store.get("v").unwrap()).unwrap();
    assert!(mount.mounts[0].options.contains(&"ro".to_owned()));
    assert_eq!(driver.space("c", || false).unwrap().inodes, 2);
    assert_eq!(driver.space("v", || false).unwrap(), Usage::default());
    assert_eq!(driver.store.remove("a").unwrap_err().code, ErrorCode::InUse);
}

#[test]
fn a_cancelled_copy_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let driver = driver(root.path());
    let base = make(&driver, Kind::Active, "tmp", None).unwrap();
    fs::write(base.join("file"), "old").unwrap();
    driver.store.commit("tmp", "a", Labels::new()).unwrap();
    let result = driver.make(Kind::Active, "c", Some("a"), Labels::new(), || true);
    assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
    assert_eq!(driver.store.list().len(), 1);
    assert_eq!(driver.store.cleanup().unwrap(), 0);
    make(&driver, Kind::Active, "c", Some("a")).unwrap();
}

#[test]
fn a_committed_snapshot_is_not_mounted() {
    let root = tempfile::tempdir().unwrap();
    let driver = driver(root.path());
    make(&driver, Kind::Active, "tmp", None).unwrap();
    let record = driver.store.commit("tmp", "a", Labels::new()).unwrap();
    assert_eq!(
        driver.describe(&record).unwrap_err().code,
        ErrorCode::FailedPrecondition
    );
    let view = make(&driver, Kind::View, "v", None).unwrap();
    assert!(view.is_dir());
}
