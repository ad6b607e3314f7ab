//! The life of snapshots on a temporary folder, across reopening and failures in the middle.

use std::fs;

use super::*;

fn open(root: &Path) -> Store {
    let (store, said) = Store::open(root).unwrap();
    assert_eq!(said, Vec::<String>::new());
    store
}

fn make(store: &Store, kind: Kind, key: &str, parent: Option<&str>) -> Result<Record> {
    store.make(kind, key, parent, Labels::new(), |folder, _| {
        fs::write(folder.join("data"), key).unwrap();
        Ok(())
    })
}

fn layer(store: &Store, name: &str, parent: Option<&str>) {
    make(store, Kind::Active, "tmp", parent).unwrap();
    store.commit("tmp", name, Labels::new()).unwrap();
}

#[test]
fn a_chain_survives_reopening() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    layer(&store, "a", None);
    layer(&store, "b", Some("a"));
    make(&store, Kind::Active, "c", Some("b")).unwrap();
    let before = store.list();
    drop(store);
    let store = open(root.path());
    assert_eq!(store.list(), before);
    let record = store.get("c").unwrap();
    let chain: Vec<_> = store
        .ancestors(&record)
        .unwrap()
        .into_iter()
        .map(|r| r.key)
        .collect();
    assert_eq!(chain, ["b", "a"]);
    assert_eq!(
        fs::read_to_string(store.folder(&record).join("data")).unwrap(),
        "c"
    );
}

#[test]
fn changes_are_idempotent_and_conflicts_are_told() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    layer(&store, "a", None);
    let made = make(&store, Kind::Active, "c", Some("a")).unwrap();
    assert_eq!(make(&store, Kind::Active, "c", Some("a")).unwrap(), made);
    let code = |result: Result<Record>| result.unwrap_err().code;
    assert_eq!(
        code(make(&store, Kind::Active, "c", None)),
        ErrorCode::AlreadyExists
    );
    assert_eq!(
        code(make(&store, Kind::View, "c", Some("a"))),
        ErrorCode::AlreadyExists
    );
    assert_eq!(
        code(make(&store, Kind::Active, "d", Some("x"))),
        ErrorCode::NotFound
    );
    assert_eq!(
        code(make(&store, Kind::Active, "d", Some("c"))),
        ErrorCode::FailedPrecondition
    );
    assert_eq!(
        code(store.commit("c", "a", Labels::new())),
        ErrorCode::AlreadyExists
    );
    assert_eq!(
        code(store.commit("x", "y", Labels::new())),
        ErrorCode::NotFound
    );
    store.commit("c", "e", Labels::new()).unwrap();
    assert_eq!(store.commit("c", "e", Labels::new()).unwrap().key, "e");
    assert_eq!(store.remove("a").unwrap_err().code, ErrorCode::InUse);
    store.remove("e").unwrap();
    store.remove("e").unwrap();
    store.remove("a").unwrap();
    assert_eq!(store.list(), []);
    assert_eq!(store.cleanup().unwrap(), 0);
}

#[test]
fn a_failed_making_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let failed = store.make(Kind::Active, "c", None, Labels::new(), |_, _| {
        Err(Error::internal("as planned"))
    });
    assert_eq!(failed.unwrap_err().message, "as planned");
    assert_eq!(store.list(), []);
    assert_eq!(store.cleanup().unwrap(), 0);
    make(&store, Kind::Active, "c", None).unwrap();
}

#[test]
fn a_kill_in_the_middle_is_put_right() {
    let root = tempfile::tempdir().unwrap();
    // As after a kill: one being made, one being freed, one whose record never reached the disk.
    fs::create_dir_all(root.path().join("making/7/fs")).unwrap();
    fs::create_dir_all(root.path().join("removed/8/fs")).unwrap();
    fs::create_dir_all(root.path().join("snapshots/9/fs")).unwrap();
    fs::write(root.path().join("snapshots/9/record.json"), "").unwrap();
    let (store, said) = Store::open(root.path()).unwrap();
    assert_eq!(said.len(), 1);
    assert_eq!(make(&store, Kind::Active, "c", None).unwrap().number, 10);
    assert_eq!(store.cleanup().unwrap(), 3);
    assert_eq!(store.cleanup().unwrap(), 0);
    assert_eq!(store.list().len(), 1);
}

#[test]
fn an_unreadable_record_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("snapshots/3");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("record.json"),
        "{\"version\":99,\"key\":\"k\",\"kind\":\"active\"}",
    )
    .unwrap();
    let (store, said) = Store::open(root.path()).unwrap();
    assert!(said[0].contains("newer"), "{said:?}");
    assert_eq!(store.cleanup().unwrap(), 0);
    assert!(fs::exists(folder).unwrap());
}

#[test]
fn a_missing_ancestor_is_data_loss() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    layer(&store, "a", None);
    let child = make(&store, Kind::Active, "c", Some("a")).unwrap();
    let parent = store.folder(&store.get("a").unwrap());
    drop(store);
    fs::remove_dir_all(parent).unwrap();
    let store = open(root.path());
    assert_eq!(
        store.ancestors(&child).unwrap_err().code,
        ErrorCode::DataLoss
    );
}

#[test]
fn leftovers_go_with_the_first_removal() {
    let root = tempfile::tempdir().unwrap();
    let left = root.path().join("removed/8");
    fs::create_dir_all(left.join("fs")).unwrap();
    let store = open(root.path());
    make(&store, Kind::Active, "c", None).unwrap();
    assert!(fs::exists(&left).unwrap());
    store.remove("c").unwrap();
    assert!(!fs::exists(&left).unwrap());
}
