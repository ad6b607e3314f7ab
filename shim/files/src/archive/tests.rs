//! Headers of every dialect, and headers that lie.

use super::*;
use crate::error::Kind;

fn header(name: &[u8], kind: u8, size: u64) -> tar::Header {
    let mut h = tar::Header::new_gnu();
    h.as_old_mut().name[..name.len()].copy_from_slice(name);
    h.set_entry_type(tar::EntryType::new(kind));
    h.set_mode(0o644);
    h.set_uid(0);
    h.set_gid(0);
    h.set_size(size);
    h.set_mtime(1_000);
    h.set_cksum();
    h
}

fn put(out: &mut Vec<u8>, h: &tar::Header, data: &[u8]) {
    out.extend_from_slice(h.as_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    [
        len.to_string().as_bytes(),
        b" ",
        key.as_bytes(),
        b"=",
        value,
        b"\n",
    ]
    .concat()
}

fn pax(out: &mut Vec<u8>, records: &[(&str, &[u8])]) {
    let data = records
        .iter()
        .flat_map(|(k, v)| record(k, v))
        .collect::<Vec<_>>();
    put(out, &header(b"pax", b'x', data.len() as u64), &data);
}

fn all(tar: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
    let limits = Limits {
        header: 4096,
        ..Limits::default()
    };
    let mut archive = Archive::new(tar, &limits);
    let mut entries = Vec::new();
    while let Some(entry) = archive.next_entry()? {
        let mut data = Vec::new();
        archive.read_to_end(&mut data).unwrap();
        entries.push((entry, data));
    }
    Ok(entries)
}

#[test]
fn pax_wins_over_gnu_over_the_header() {
    let mut tar = Vec::new();
    pax(
        &mut tar,
        &[
            ("path", b"pax-name".as_slice()),
            ("uid", b"70000"),
            ("mtime", b"12.5"),
            ("size", b"3"),
            ("SCHILY.xattr.user.a", b"\x00\x01"),
            ("comment", b"none of our business"),
        ],
    );
    put(&mut tar, &header(b"long", b'L', 9), b"gnu-name\0");
    // The size in the header is a lie that the extended one corrects.
    put(&mut tar, &header(b"plain", b'0', 0), b"abc");
    put(&mut tar, &header(b"next/", b'0', 0), b"");
    let found = all(&tar).unwrap();
    let (entry, data) = &found[0];
    assert_eq!(
        (entry.path.as_slice(), entry.uid, data.as_slice()),
        (b"pax-name".as_slice(), 70_000, b"abc".as_slice())
    );
    assert_eq!(
        entry.mtime,
        Time {
            seconds: 12,
            nanos: 500_000_000
        }
    );
    assert_eq!(entry.xattrs, [(b"user.a".to_vec(), vec![0, 1])]);
    assert_eq!(
        (found[1].0.path.as_slice(), found[1].0.kind),
        (b"next/".as_slice(), EntryKind::Dir)
    );
}

#[test]
fn times_before_1970_round_down() {
    let mut tar = Vec::new();
    pax(&mut tar, &[("mtime", b"-1.25".as_slice())]);
    put(&mut tar, &header(b"old", b'0', 0), b"");
    assert_eq!(
        all(&tar).unwrap()[0].0.mtime,
        Time {
            seconds: -2,
            nanos: 750_000_000
        }
    );
}

#[test]
fn sparse_maps_of_three_dialects_say_the_same() {
    let segments = [
        Segment {
            offset: 512,
            len: 2,
        },
        Segment {
            offset: 2048,
            len: 1,
        },
    ];
    let mut tar = Vec::new();
    let records = [
        ("GNU.sparse.map", b"512,2,2048,1".as_slice()),
        ("GNU.sparse.size", b"4096"),
    ];
    pax(&mut tar, &records);
    put(&mut tar, &header(b"a", b'0', 3), b"abc");
    pax(
        &mut tar,
        &[
            ("GNU.sparse.major", b"1".as_slice()),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"b"),
            ("GNU.sparse.realsize", b"4096"),
        ],
    );
    let mut data = b"2\n512\n2\n2048\n1\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(b"abc");
    put(
        &mut tar,
        &header(b"GNUSparseFile.0/b", b'0', data.len() as u64),
        &data,
    );
    let mut old = header(b"c", b'S', 3);
    let gnu = old.as_gnu_mut().unwrap();
    for (slot, s) in gnu.sparse.iter_mut().zip(&segments) {
        slot.offset[..12].copy_from_slice(format!("{:011o}\0", s.offset).as_bytes());
        slot.numbytes[..12].copy_from_slice(format!("{:011o}\0", s.len).as_bytes());
    }
    gnu.realsize[..12].copy_from_slice(format!("{:011o}\0", 4096).as_bytes());
    old.set_cksum();
    put(&mut tar, &old, b"abc");
    let found = all(&tar).unwrap();
    assert_eq!(found.len(), 3);
    for (entry, data) in found {
        assert_eq!(entry.segments.unwrap(), segments);
        assert_eq!(
            (entry.file_size, data.as_slice()),
            (4096, b"abc".as_slice())
        );
    }
}

#[test]
fn lies_are_refused() {
    let kind = |tar: &[u8]| all(tar).unwrap_err().kind();
    // Not a tar archive.
    assert_eq!(kind(&[b'x'; 512]), Kind::Archive);
    // Cut off in a header, in content, in an extended header.
    let mut tar = Vec::new();
    put(&mut tar, &header(b"a", b'0', 700), &[7; 700]);
    assert_eq!(kind(&tar[..100]), Kind::Archive);
    assert_eq!(kind(&tar[..600]), Kind::Archive);
    // An extended header of a size that would fill the memory.
    assert_eq!(kind(header(b"a", b'L', 1 << 40).as_bytes()), Kind::Limit);
    assert_eq!(kind(header(b"a", b'x', 4097).as_bytes()), Kind::Limit);
    // Unknown type, owner that does not fit, malformed records.
    assert_eq!(kind(header(b"a", b'V', 0).as_bytes()), Kind::Archive);
    for (key, value) in [
        ("uid", b"4294967296".as_slice()),
        ("uid", b"4294967295"),
        ("gid", b"-1"),
        ("size", b"99999999999999999999999"),
        ("mtime", b"1.2.3"),
        ("GNU.sparse.offset", b"0"),
    ] {
        let mut tar = Vec::new();
        pax(&mut tar, &[(key, value)]);
        put(&mut tar, &header(b"a", b'0', 0), b"");
        assert_eq!(kind(&tar), Kind::Archive, "{key}");
    }
    for raw in [
        b"".as_slice(),
        b"5 a=b\n",
        b"99 a=b\n",
        b"6 a=b",
        b"x a=b\n",
        b"0 =\n",
        b"3 \n",
    ] {
        let mut tar = Vec::new();
        put(&mut tar, &header(b"pax", b'x', raw.len() as u64), raw);
        put(&mut tar, &header(b"a", b'0', 0), b"");
        assert_eq!(
            all(&tar).is_ok(),
            raw.is_empty(),
            "{:?}",
            String::from_utf8_lossy(raw)
        );
    }
}

#[test]
fn sparse_maps_must_fit() {
    for (map, size) in [
        (b"0,4".as_slice(), b"10".as_slice()),
        (b"0,3,2,0", b"10"),
        (b"9,3", b"10"),
        (b"18446744073709551615,3", b"10"),
        (b"0,3,4", b"10"),
    ] {
        let mut tar = Vec::new();
        pax(
            &mut tar,
            &[("GNU.sparse.map", map), ("GNU.sparse.size", size)],
        );
        put(&mut tar, &header(b"a", b'0', 3), b"abc");
        assert_eq!(
            all(&tar).unwrap_err().kind(),
            Kind::Archive,
            "{}",
            String::from_utf8_lossy(map)
        );
    }
}
