//! Batches, damage, migration, versions and full disks, on real files and on a disk that can be full.

mod damage;
mod later;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_model::ErrorKind;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableTable, StorageBackend, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::open::{NUMBERS, SCHEMA};
use crate::{Batch, Store, Table};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Thing {
    name: String,
    #[serde(default)]
    size: u64,
}

fn thing(name: &str) -> Thing {
    Thing {
        name: name.to_owned(),
        size: 7,
    }
}

fn put(table: Table, key: &str, record: &Thing) -> Batch {
    let mut batch = Batch::new();
    batch.put(table, key, record).unwrap();
    batch
}

fn good(store: &Store, table: Table) -> BTreeMap<String, Thing> {
    store
        .load(table)
        .unwrap()
        .into_iter()
        .map(|(key, record)| (key, record.unwrap()))
        .collect()
}

fn raw(path: &Path, table: &str, key: &str, value: &[u8]) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(TableDefinition::<&str, &[u8]>::new(table))
        .unwrap()
        .insert(key, value)
        .unwrap();
    transaction.commit().unwrap();
}

#[test]
fn keeps_what_was_committed_over_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Store::open(&path).unwrap();
    assert!(good(&store, Table::Containers).is_empty());
    let mut batch = put(Table::Containers, "a", &thing("first"));
    batch.put(Table::Volumes, "v", &thing("volume")).unwrap();
    batch.put(Table::Containers, "b", &thing("second")).unwrap();
    batch.delete(Table::Containers, "a");
    store.commit_blocking(batch).unwrap();
    drop(store);

    let store = Store::open(&path).unwrap();
    let containers = good(&store, Table::Containers);
    assert_eq!(containers.len(), 1);
    assert_eq!(containers["b"], thing("second"));
    assert_eq!(good(&store, Table::Volumes)["v"], thing("volume"));
    assert!(good(&store, Table::Meta).is_empty());
}

#[test]
fn refuses_a_second_opener_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Store::open(&path).unwrap();
    let error = Store::open(&path).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    drop(store);
    Store::open(&path).unwrap();
}

#[test]
fn commits_from_many_threads_all_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Store::open(&path).unwrap();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                for n in 0..25 {
                    let mut batch = Batch::new();
                    let key = format!("{thread}-{n}");
                    batch.put(Table::Events, &key, &thing(&key)).unwrap();
                    batch.put(Table::Meta, &key, &thing(&key)).unwrap();
                    store.commit_blocking(batch).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(good(&store, Table::Events).len(), 200);
    assert_eq!(good(&store, Table::Meta).len(), 200);
}

#[test]
fn a_damaged_record_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Store::open(&path).unwrap();
    for key in ["a", "z"] {
        store
            .commit_blocking(put(Table::Sandboxes, key, &thing(key)))
            .unwrap();
    }
    drop(store);
    raw(&path, "sandboxes", "m", br#"{"v":1,"r":{"na"#);
    raw(&path, "sandboxes", "n", br#"{"name":"bare"}"#);

    let store = Store::open(&path).unwrap();
    let records = store.load::<Thing>(Table::Sandboxes).unwrap();
    let keys: Vec<_> = records
        .iter()
        .map(|(key, r)| (key.as_str(), r.is_ok()))
        .collect();
    assert_eq!(keys, [("a", true), ("m", false), ("n", false), ("z", true)]);
    let error = records[1].1.as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::DataLoss);
    assert!(
        error.message.contains("\"m\"") && error.message.contains("sandboxes"),
        "{error}"
    );
}

#[test]
fn migrates_a_database_of_schema_0() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    raw(&path, "containers", "a", br#"{"name":"old","size":3}"#);
    raw(&path, "containers", "b", b"no json");
    raw(&path, "meta", "m", br#"{"name":"meta"}"#);

    for _ in 0..2 {
        let store = Store::open(&path).unwrap();
        let records = store.load::<Thing>(Table::Containers).unwrap();
        assert_eq!(records.len(), 2);
        let old = records[0].1.as_ref().unwrap();
        assert_eq!((old.name.as_str(), old.size), ("old", 3));
        assert!(records[1].1.is_err());
        assert_eq!(good(&store, Table::Meta)["m"].name, "meta");
    }
    assert_eq!(number(&path, "schema"), Some(SCHEMA));
}

#[test]
fn reads_records_of_a_newer_program_and_ignores_what_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(Store::open(&path).unwrap());
    set_numbers(&path, SCHEMA + 1, SCHEMA);
    raw(
        &path,
        "volumes",
        "v",
        br#"{"v":2,"r":{"name":"n","size":1,"colour":"red"},"new":1}"#,
    );

    let store = Store::open(&path).unwrap();
    assert_eq!(good(&store, Table::Volumes)["v"].name, "n");
    drop(store);
    assert_eq!(
        number(&path, "schema"),
        Some(SCHEMA + 1),
        "left to the newer program"
    );
}

#[test]
fn refuses_a_schema_it_cannot_read_and_names_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(Store::open(&path).unwrap());
    set_numbers(&path, SCHEMA + 41, SCHEMA + 40);
    let error = Store::open(&path).err().unwrap();
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    assert!(
        error.message.contains(&format!("schema {}", SCHEMA + 41)),
        "{error}"
    );
    assert!(
        error.message.contains(&format!("knows schema {SCHEMA}")),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_database_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    let error = Store::open(&path).err().unwrap();
    assert_eq!(error.kind, ErrorKind::DataLoss, "{error}");
}

#[test]
fn a_full_disk_is_told_and_the_store_works_again_when_there_is_space() {
    let (disk, store) = on_disk();
    store
        .commit_blocking(put(Table::Leases, "before", &thing("before")))
        .unwrap();

    disk.fill(true);
    let error = store
        .commit_blocking(put(Table::Leases, "lost", &thing("lost")))
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::ResourceExhausted, "{error}");
    assert!(
        error.message.contains("file system of /full/gantry.redb")
            && error.message.contains("free space"),
        "{error}"
    );

    disk.fill(false);
    store
        .commit_blocking(put(Table::Leases, "after", &thing("after")))
        .unwrap();
    let keys: Vec<_> = good(&store, Table::Leases).into_keys().collect();
    assert_eq!(keys, ["after", "before"]);
}

fn number(path: &Path, name: &str) -> Option<u64> {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = transaction.open_table(NUMBERS).unwrap();
    table.get(name).unwrap().map(|n| n.value())
}

fn set_numbers(path: &Path, schema: u64, readable_by: u64) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(NUMBERS).unwrap();
        table.insert("schema", schema).unwrap();
        table.insert("readable_by", readable_by).unwrap();
    }
    transaction.commit().unwrap();
}

/// A store on a disk that can be full.
fn on_disk() -> (Arc<Disk>, Store) {
    let disk = Arc::new(Disk::default());
    let opened = Arc::clone(&disk);
    let store = Store::with_opener(
        "/full/gantry.redb".into(),
        Box::new(move || {
            redb::Builder::new()
                .create_with_backend(Handle(Arc::clone(&opened)))
                .map_err(|e| crate::error::failed("open", e))
        }),
    )
    .unwrap();
    (disk, store)
}

/// A disk that survives being closed and can be full.
#[derive(Debug, Default)]
struct Disk {
    memory: InMemoryBackend,
    full: AtomicBool,
}

impl Disk {
    fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Handle(Arc<Disk>);

impl Handle {
    fn room(&self) -> io::Result<()> {
        if self.0.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.0.memory.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.memory.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.0.memory.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.room()?;
        self.0.memory.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.0.memory.write(offset, data)
    }
}
