//! Batches nobody waits for: their order, and when they are on disk.

use std::time::{Duration, Instant};

use super::{good, put, thing};
use crate::{Batch, Store, Table};

/// Waits until the store shows what is wanted, or fails.
fn until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let (_open, tick) = std::sync::mpsc::channel::<()>();
    while !met() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        let _ = tick.recv_timeout(Duration::from_millis(10));
    }
}

#[test]
fn a_later_batch_is_written_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db")).unwrap();
    let handed_in = Instant::now();
    store
        .commit_later(put(Table::Events, "1", &thing("one")))
        .unwrap();
    assert!(
        handed_in.elapsed() < Duration::from_millis(500),
        "it must not wait for the disk"
    );
    until("the batch is there", || {
        good(&store, Table::Events).contains_key("1")
    });
    assert!(handed_in.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_later_batch_is_written_with_the_next_one_and_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Store::open(&path).unwrap();
    store
        .commit_later(put(Table::Events, "a", &thing("first")))
        .unwrap();
    store
        .commit_blocking(put(Table::Events, "a", &thing("second")))
        .unwrap();
    assert_eq!(good(&store, Table::Events)["a"], thing("second"));

    // Held ones before it are deleted by it, those after it are not.
    store
        .commit_later(put(Table::Events, "b", &thing("before")))
        .unwrap();
    let mut batch = Batch::new();
    batch.delete(Table::Events, "b");
    store.commit_blocking(batch).unwrap();
    store
        .commit_later(put(Table::Events, "c", &thing("last")))
        .unwrap();
    assert!(!good(&store, Table::Events).contains_key("b"));
    // The last one handed in is written when the store is closed.
    drop(store);
    let store = Store::open(&path).unwrap();
    let keys: Vec<_> = good(&store, Table::Events).into_keys().collect();
    assert_eq!(keys, ["a", "c"]);
}

#[test]
fn later_batches_wait_while_the_disk_is_full() {
    let (disk, store) = super::on_disk();
    disk.fill(true);
    store
        .commit_later(put(Table::Events, "held", &thing("held")))
        .unwrap();
    store
        .commit_blocking(put(Table::Leases, "refused", &thing("refused")))
        .unwrap_err();
    disk.fill(false);
    until("the held batch is there", || {
        // Closed for as long as this disk takes nothing at all.
        let records = store.load::<super::Thing>(Table::Events);
        records.is_ok_and(|records| records.iter().any(|(key, _)| key == "held"))
    });
    assert!(good(&store, Table::Leases).is_empty());
}
