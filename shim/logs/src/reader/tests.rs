//! Since, until, tail, and following over rotations.

use super::*;
use crate::format::Stream;
use crate::testing::place;
use crate::writer::{LogWriter, Rotation};

const T: i64 = 1_700_000_000_000_000_000;

fn lines(reader: &mut LogReader) -> Vec<String> {
    let mut out = Vec::new();
    loop {
        let more = reader.read_more().unwrap();
        if more.is_empty() {
            return out;
        }
        out.extend(
            more.into_iter()
                .map(|e| String::from_utf8(e.bytes).unwrap().trim_end().to_owned()),
        );
    }
}

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| n.to_string()).collect()
}

fn put(writer: &mut LogWriter, from: usize, to: usize) {
    for n in from..to {
        let time = T + i64::try_from(n).unwrap() * 1_000_000_000;
        writer
            .write_at(time, Stream::Stdout, format!("{n}\n").as_bytes())
            .unwrap();
    }
}

#[test]
fn a_log_that_was_never_written_is_empty_until_it_is() {
    let path = place();
    let mut reader = LogReader::open(&path, Format::Cri, ReadOptions::default()).unwrap();
    assert!(reader.read_more().unwrap().is_empty());
    put(
        &mut LogWriter::open(&path, Format::Cri, Rotation::default()).unwrap(),
        0,
        2,
    );
    assert_eq!(lines(&mut reader), numbers(0, 2));
}

#[test]
fn since_until_and_tail() {
    let path = place();
    let rotation = Rotation {
        max_size: 2000,
        max_files: 100,
        ..Rotation::default()
    };
    for format in [Format::Local, Format::JsonFile] {
        let mut writer = LogWriter::open(&path, format, rotation).unwrap();
        put(&mut writer, 0, 500);
        let read = |options| lines(&mut LogReader::open(&path, format, options).unwrap());
        let all = ReadOptions::default();
        assert_eq!(read(all), numbers(0, 500));
        let (since, until) = (Some(T + 100_000_000_000), Some(T + 110_000_000_000));
        assert_eq!(read(ReadOptions { since, ..all }), numbers(100, 500));
        assert_eq!(
            read(ReadOptions {
                since,
                until,
                ..all
            }),
            numbers(100, 111)
        );
        for tail in [0, 1, 30, 499, 500, 10_000] {
            let first = 500_usize.saturating_sub(tail);
            assert_eq!(
                read(ReadOptions {
                    tail: Some(tail as u64),
                    ..all
                }),
                numbers(first, 500),
                "tail {tail}"
            );
        }
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
}

#[test]
fn following_goes_over_rotations_and_misses_nothing() {
    let path = place();
    let rotation = Rotation {
        max_size: 300,
        max_files: 50,
        ..Rotation::default()
    };
    let mut writer = LogWriter::open(&path, Format::JsonFile, rotation).unwrap();
    let mut reader = LogReader::open(
        &path,
        Format::JsonFile,
        ReadOptions {
            tail: Some(0),
            ..ReadOptions::default()
        },
    )
    .unwrap();
    let mut got = Vec::new();
    let mut next = 0;
    // Steps of growing length: within a file, over one rotation, over many at once.
    for step in [1, 2, 3, 5, 8, 13, 21, 34] {
        put(&mut writer, next, next + step);
        next += step;
        got.extend(lines(&mut reader));
    }
    assert_eq!(got, numbers(0, next));
}

#[test]
fn a_line_being_written_is_not_given_out_before_it_is_whole() {
    use std::io::Write as _;
    let path = place();
    let mut file = std::fs::File::create(&path).unwrap();
    let mut reader = LogReader::open(&path, Format::Cri, ReadOptions::default()).unwrap();
    file.write_all(b"2024-02-29T12:34:56Z stdout F hal")
        .unwrap();
    assert!(reader.read_more().unwrap().is_empty());
    file.write_all(b"f\ngarbage\n2024-02-29T12:34:57Z stdout F next\n")
        .unwrap();
    assert_eq!(lines(&mut reader), ["half", "next"]);
}

#[test]
fn a_file_begun_anew_is_read_from_its_start() {
    let path = place();
    let rotation = Rotation {
        max_size: 100,
        max_files: 1,
        ..Rotation::default()
    };
    let mut writer = LogWriter::open(&path, Format::Cri, rotation).unwrap();
    put(&mut writer, 0, 3);
    let mut reader = LogReader::open(&path, Format::Cri, ReadOptions::default()).unwrap();
    assert_eq!(lines(&mut reader), numbers(0, 3));
    put(&mut writer, 3, 4);
    assert_eq!(lines(&mut reader), numbers(3, 4));
}

#[test]
fn a_damaged_file_costs_itself_only() {
    let path = place();
    let rotation = Rotation {
        max_size: 200,
        max_files: 50,
        compress: true,
    };
    let mut writer = LogWriter::open(&path, Format::Local, rotation).unwrap();
    put(&mut writer, 0, 60);
    while let Some(job) = writer.next_job() {
        job.run().unwrap();
        writer.job_done(true);
    }
    let second = crate::aside::with_suffix(&path, ".2.gz");
    let bytes = std::fs::read(&second).unwrap();
    std::fs::write(&second, &bytes[..bytes.len() / 2]).unwrap();
    let mut reader = LogReader::open(&path, Format::Local, ReadOptions::default()).unwrap();
    let (mut got, mut damaged) = (0, 0);
    loop {
        match reader.read_more() {
            Ok(entries) if entries.is_empty() => break,
            Ok(entries) => got += entries.len(),
            Err(e) => {
                assert_eq!(e.kind(), io::ErrorKind::InvalidData);
                damaged += 1;
            }
        }
    }
    assert!(damaged == 1 && got < 60 && got > 40, "{damaged} {got}");
    let tail = ReadOptions {
        tail: Some(5),
        ..ReadOptions::default()
    };
    let mut reader = LogReader::open(&path, Format::Local, tail).unwrap();
    assert_eq!(lines(&mut reader), numbers(55, 60));
}
