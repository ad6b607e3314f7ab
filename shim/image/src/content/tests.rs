//! What is stored is whole; what is not finished is not there.

use super::*;
use gantry_model::ErrorKind as Kind;

fn store() -> (tempfile::TempDir, Content) {
    let dir = tempfile::tempdir().unwrap();
    let content = Content::open(dir.path()).unwrap();
    (dir, content)
}

#[test]
fn a_blob_is_found_under_its_digest_only() {
    let (_dir, content) = store();
    let digest = content.put(b"hello").unwrap();
    assert_eq!(digest, sha256(b"hello"));
    assert_eq!(content.size(&digest).unwrap(), Some(5));
    assert_eq!(content.document(&digest).unwrap(), b"hello");
    assert_eq!(content.put(b"hello").unwrap(), digest, "twice is once");
    assert_eq!(content.list().unwrap(), [(digest.clone(), 5)]);
    assert_eq!(
        content.document(&sha256(b"other")).unwrap_err().kind,
        Kind::NotFound
    );
    assert!(content.remove(&digest).unwrap());
    assert!(!content.remove(&digest).unwrap());
}

#[test]
fn what_was_cut_off_is_gone_at_the_next_start() {
    let (dir, content) = store();
    let mut ingest = content.ingest().unwrap();
    ingest.write(b"half").unwrap();
    let left = ingest.finish().unwrap();
    let path = left.path().to_owned();
    // As after kill -9: the file stays.
    std::mem::forget(left);
    assert!(path.try_exists().unwrap());
    let content = Content::open(dir.path()).unwrap();
    assert!(!path.try_exists().unwrap());
    assert!(content.list().unwrap().is_empty());
}

#[test]
fn dropping_an_ingest_leaves_nothing() {
    let (dir, content) = store();
    content.ingest().unwrap().write(b"x").unwrap();
    assert_eq!(
        std::fs::read_dir(dir.path().join("ingest"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn damage_and_size_are_seen() {
    let (dir, content) = store();
    let digest = content.put(b"hello").unwrap();
    std::fs::write(dir.path().join("blobs/sha256").join(digest.hex()), b"hullo").unwrap();
    assert_eq!(content.document(&digest).unwrap_err().kind, Kind::DataLoss);
    let big = content.put(&vec![0; DOCUMENT as usize + 1]).unwrap();
    assert_eq!(
        content.document(&big).unwrap_err().kind,
        Kind::InvalidArgument
    );
}

#[test]
fn folders_are_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _content) = store();
    for sub in ["blobs", "blobs/sha256", "ingest"] {
        let mode = std::fs::metadata(dir.path().join(sub))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{sub}");
    }
}
