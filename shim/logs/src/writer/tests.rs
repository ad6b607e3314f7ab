//! Lines in, lines out.

use super::*;
use crate::aside::with_suffix;
use crate::reader::{LogReader, ReadOptions};
use crate::testing::place;

fn all(path: &Path, format: Format) -> Vec<(Stream, bool, Vec<u8>)> {
    let mut reader = LogReader::open(path, format, ReadOptions::default()).unwrap();
    let mut out = Vec::new();
    loop {
        let more = reader.read_more().unwrap();
        if more.is_empty() {
            return out;
        }
        out.extend(more.into_iter().map(|e| (e.stream, e.partial, e.bytes)));
    }
}

#[test]
fn however_output_is_cut_the_lines_are_the_same() {
    let mut text = b"one\n\ntwo\n".to_vec();
    text.extend(vec![b'x'; MAX_PIECE]);
    text.push(b'\n');
    text.extend(vec![b'y'; 2 * MAX_PIECE + 5]);
    text.extend(b"\nlast");
    let mut expected = None;
    for cut in [1, 7, 100, 4096, MAX_PIECE, MAX_PIECE + 1, text.len()] {
        for format in [Format::Cri, Format::JsonFile, Format::Local] {
            let path = place();
            let mut writer = LogWriter::open(&path, format, Rotation::default()).unwrap();
            for piece in text.chunks(cut) {
                writer.write(Stream::Stdout, piece).unwrap();
            }
            writer.end(Stream::Stdout).unwrap();
            let got: Vec<_> = all(&path, format).into_iter().map(|(_, _, b)| b).collect();
            let joined = got.concat();
            let joined = joined.strip_suffix(b"\n").unwrap_or(&joined);
            assert!(joined == text, "cut {cut} {format:?}");
            let sizes: Vec<usize> = got[..got.len() - 1].iter().map(Vec::len).collect();
            assert_eq!(
                *expected.get_or_insert_with(|| sizes.clone()),
                sizes,
                "cut {cut}"
            );
            std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
    }
    assert_eq!(
        expected.unwrap(),
        [4, 1, 4, MAX_PIECE + 1, MAX_PIECE, MAX_PIECE, 6]
    );
}

#[test]
fn streams_do_not_mix_in_one_line() {
    let path = place();
    let mut writer = LogWriter::open(&path, Format::Cri, Rotation::default()).unwrap();
    writer.write(Stream::Stdout, b"out").unwrap();
    writer.write(Stream::Stderr, b"err\n").unwrap();
    writer.write(Stream::Stdout, b"put\n").unwrap();
    assert_eq!(
        all(&path, Format::Cri),
        [
            (Stream::Stderr, false, b"err\n".to_vec()),
            (Stream::Stdout, false, b"output\n".to_vec())
        ]
    );
}

#[test]
fn a_full_file_is_put_aside_and_the_oldest_goes() {
    let path = place();
    let rotation = Rotation {
        max_size: 200,
        max_files: 3,
        ..Rotation::default()
    };
    let mut writer = LogWriter::open(&path, Format::JsonFile, rotation).unwrap();
    for n in 0..20 {
        writer
            .write(Stream::Stdout, format!("line {n}\n").as_bytes())
            .unwrap();
    }
    assert!(with_suffix(&path, ".2").is_file() && !with_suffix(&path, ".3").is_file());
    let lines: Vec<String> = all(&path, Format::JsonFile)
        .into_iter()
        .map(|(_, _, b)| String::from_utf8(b).unwrap())
        .collect();
    let first: usize = lines[0].trim().rsplit(' ').next().unwrap().parse().unwrap();
    let expected: Vec<String> = (first..20).map(|n| format!("line {n}\n")).collect();
    assert_eq!(lines, expected, "none torn, doubled or missing in between");
}

#[test]
fn reopening_makes_the_file_at_once() {
    let path = place();
    let mut writer = LogWriter::open(&path, Format::Cri, Rotation::default()).unwrap();
    writer.write(Stream::Stdout, b"old\npart").unwrap();
    std::fs::rename(&path, path.with_extension("moved")).unwrap();
    writer.reopen().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    writer.write(Stream::Stdout, b"ly\n").unwrap();
    assert_eq!(
        all(&path, Format::Cri),
        [(Stream::Stdout, false, b"partly\n".to_vec())]
    );
}

#[test]
fn a_write_that_fails_loses_whole_lines_and_says_how_many() {
    let path = place();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut writer = LogWriter::open(&path, Format::Cri, Rotation::default()).unwrap();
    assert!(writer.write(Stream::Stdout, b"a\nb\n").is_err());
    assert_eq!(writer.lost(), 2);
}
