//! The life of volumes on a temporary folder.

use gantry_sdk::ErrorCode;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn at(root: &Path) -> Local {
    Local::at(root.to_str().unwrap())
}

#[test]
fn a_volume_lives_until_it_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let driver = at(root.path());
    let path = driver
        .make("data", &Labels::new(), &labels(&[("a", "b")]))
        .unwrap();
    assert_eq!(
        path,
        driver.make("data", &Labels::new(), &Labels::new()).unwrap()
    );
    fs::write(Path::new(&path).join("file"), "kept").unwrap();
    let driver = at(root.path());
    assert_eq!(driver.shelf.names().unwrap(), ["data"]);
    assert_eq!(driver.record("data").unwrap().labels, labels(&[("a", "b")]));
    let mount = driver.describe("data", "c1", true).unwrap();
    assert_eq!(
        (mount.kind.as_str(), mount.source.as_str()),
        ("bind", path.as_str())
    );
    assert!(mount.options.contains(&"ro".to_owned()));
    assert_eq!(
        driver.remove_all("data").unwrap_err().code,
        ErrorCode::InUse
    );
    driver.let_go("data", "c1");
    driver.let_go("data", "c1");
    driver.remove_all("data").unwrap();
    driver.remove_all("data").unwrap();
    assert!(!fs::exists(&path).unwrap());
    assert_eq!(driver.shelf.names().unwrap(), Vec::<String>::new());
    assert_eq!(
        driver.describe("data", "c1", false).unwrap_err().code,
        ErrorCode::NotFound
    );
}

#[test]
fn other_options_under_the_same_name_are_a_conflict() {
    let root = tempfile::tempdir().unwrap();
    let driver = at(root.path());
    let options = labels(&[("type", "tmpfs"), ("device", "tmpfs")]);
    driver.make("mem", &options, &Labels::new()).unwrap();
    let error = driver
        .make("mem", &Labels::new(), &Labels::new())
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::AlreadyExists);
    assert_eq!(driver.describe("mem", "c1", false).unwrap().kind, "tmpfs");
}

#[test]
fn a_making_cut_short_is_finished_or_forgotten() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("half/_data")).unwrap();
    let driver = at(root.path());
    assert_eq!(driver.shelf.names().unwrap(), Vec::<String>::new());
    driver.make("half", &Labels::new(), &Labels::new()).unwrap();
    assert_eq!(driver.shelf.names().unwrap(), ["half"]);
}

#[test]
fn a_removal_cut_short_is_swept() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join(".removed/data.1.1/_data")).unwrap();
    let driver = at(root.path());
    assert_eq!(driver.shelf.names().unwrap(), Vec::<String>::new());
    driver.shelf.sweep().unwrap();
    assert!(!fs::exists(root.path().join(".removed")).unwrap());
    driver.shelf.sweep().unwrap();
}
