//! Files damaged from outside, and records cut short by a kill.

use gantry_model::ErrorKind;

use super::{good, put, thing};
use crate::{Store, Table};

/// A database of a few hundred records, closed.
fn filled(path: &std::path::Path) {
    let store = Store::open(path).unwrap();
    for n in 0..300 {
        let key = format!("{n:03}");
        store
            .commit_later(put(Table::Containers, &key, &thing(&key.repeat(100))))
            .unwrap();
    }
    store
        .commit_blocking(put(Table::Meta, "m", &thing("last")))
        .unwrap();
}

#[test]
fn a_damaged_page_is_told_with_the_files_name_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gantry.redb");
    filled(&path);
    let whole = std::fs::read(&path).unwrap();
    let mut told = 0;
    // Every page in turn, so that the header, the trees and the data are all met.
    for page in 0..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..][100..140].fill(0xA5);
        std::fs::write(&path, &bytes).unwrap();
        match Store::open(&path) {
            Ok(store) => {
                assert_eq!(
                    good(&store, Table::Containers).len(),
                    300,
                    "page {page} was damaged, and records are missing without a word"
                );
            }
            Err(error) => {
                told += 1;
                assert_eq!(error.kind, ErrorKind::DataLoss, "page {page}: {error}");
                assert!(
                    error.message.contains("gantry.redb") && error.message.contains("move it away"),
                    "page {page}: {error}"
                );
            }
        }
    }
    assert!(told > 10, "only {told} damaged pages were noticed");
}

#[test]
fn a_file_cut_short_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gantry.redb");
    filled(&path);
    let whole = std::fs::metadata(&path).unwrap().len();
    for length in [1, 100, 4096, whole / 2, whole - 1] {
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        filled_again(&path, &file, length);
        let error = Store::open(&path).err().unwrap();
        assert_eq!(error.kind, ErrorKind::DataLoss, "{length} bytes: {error}");
        assert!(error.message.contains("gantry.redb"), "{error}");
    }
}

/// Cut to `length` from a fresh database.
fn filled_again(path: &std::path::Path, file: &std::fs::File, length: u64) {
    file.set_len(0).unwrap();
    filled(path);
    file.set_len(length).unwrap();
}
