//! No room for lines: they wait, and are there in their order as soon as there is.

use super::*;
use crate::file::STEP;
use crate::testing::{Disk, Place};

/// Taken ahead of the lines of these tests, and by a new log.
const AHEAD: u64 = LOW + STEP;
const LOW: u64 = 3 * (192 << 10);

const NO_ROTATION: Rotation = Rotation {
    max_size: 0,
    max_files: 0,
    compress: false,
};

fn open(disk: &Disk, format: Format, rotation: Rotation) -> (Place, LogWriter) {
    let path = place();
    let mut writer = LogWriter::open(&path, format, rotation).unwrap();
    writer.pretend(disk);
    (path, writer)
}

fn bytes(count: u64) -> usize {
    usize::try_from(count).unwrap()
}

fn taking_ahead(room: u64) -> Disk {
    Disk {
        takes_ahead: true,
        ..Disk::with(bytes(room))
    }
}

#[test]
fn lines_wait_for_room() {
    for format in [Format::Cri, Format::JsonFile, Format::Local] {
        let disk = Disk::with(100);
        let (path, mut writer) = open(&disk, format, NO_ROTATION);
        put(&mut writer, 100..150);
        assert!(writer.is_waiting() && !writer.is_behind());
        let there = texts(&path, format);
        assert!(there.len() < 10 && there == lines(100..100 + there.len() as i64));
        // A little at a time, and never half a line.
        for _ in 0..20 {
            disk.set(130);
            writer.catch_up().unwrap();
            let there = texts(&path, format);
            assert_eq!(there, lines(100..100 + there.len() as i64));
        }
        disk.set(usize::MAX);
        put(&mut writer, 150..152);
        assert!(!writer.is_waiting());
        assert_eq!(texts(&path, format), lines(100..152));
        assert_eq!((writer.lost(), writer.give_up()), (0, 0));
    }
}

#[test]
fn a_line_bears_the_time_it_came_at() {
    let disk = Disk::with(0);
    let (path, mut writer) = open(&disk, Format::JsonFile, NO_ROTATION);
    put(&mut writer, 100..103);
    disk.set(usize::MAX);
    put(&mut writer, 200..201);
    let mut reader = LogReader::open(&path, Format::JsonFile, ReadOptions::default()).unwrap();
    let times: Vec<i64> = reader.read_more().unwrap().iter().map(|e| e.time).collect();
    assert_eq!(times, [100, 101, 102, 200].map(|t| t * 1_000_000_000));
}

#[test]
fn what_is_held_is_bounded_and_asks_for_no_more() {
    let disk = Disk::with(0);
    let (path, mut writer) = open(&disk, Format::Cri, NO_ROTATION);
    let text = "a line of some length, as they are\n".repeat(1000);
    let mut count = 0;
    while !writer.is_behind() {
        writer.write(Stream::Stdout, text.as_bytes()).unwrap();
        count += 1000;
        assert!(count < 20_000);
    }
    // Whoever goes on all the same loses lines, whole ones, and the log says so after those that were held.
    for _ in 0..200 {
        writer.write(Stream::Stdout, text.as_bytes()).unwrap();
        count += 1000;
    }
    for stream in Stream::BOTH {
        writer.end(stream).unwrap();
    }
    disk.set(usize::MAX);
    writer.catch_up().unwrap();
    let there = texts(&path, Format::Cri);
    let lost = writer.lost();
    let (note, whole) = there.split_last().unwrap();
    assert!(note.starts_with(&format!(
        "gantry: {lost} lines of this log were lost: no space"
    )));
    assert!(lost > 0 && whole.len() as u64 + lost == count);
    assert!(
        whole
            .iter()
            .all(|line| line == text.lines().next().unwrap())
    );
}

#[test]
fn a_line_in_pieces_waits_in_pieces() {
    let disk = Disk::with(MAX_PIECE + 100);
    let (path, mut writer) = open(&disk, Format::Cri, NO_ROTATION);
    let long = "y".repeat(3 * MAX_PIECE);
    for part in ["one\n", &long, &long, "\ntwo\n", "thr"] {
        writer.write(Stream::Stdout, part.as_bytes()).unwrap();
    }
    writer.write(Stream::Stderr, b"other\n").unwrap();
    writer.reopen().unwrap();
    writer.write(Stream::Stdout, b"ee").unwrap();
    for stream in Stream::BOTH {
        writer.end(stream).unwrap();
    }
    assert!(writer.is_waiting());
    for _ in 0..10 {
        disk.set(MAX_PIECE + 60);
        writer.catch_up().unwrap();
    }
    assert!(!writer.is_waiting());
    let (mut out, mut ends) = (String::new(), 0);
    for (stream, partial, bytes) in all(&path, Format::Cri) {
        if stream == Stream::Stdout {
            out += std::str::from_utf8(&bytes).unwrap();
            ends += usize::from(!partial);
        }
    }
    assert!(out == format!("one\n{long}{long}\ntwo\nthree\n"));
    assert_eq!(ends, 4);
}

#[test]
fn giving_up_counts_what_was_waiting() {
    let disk = Disk::with(120);
    let (path, mut writer) = open(&disk, Format::Local, NO_ROTATION);
    put(&mut writer, 100..120);
    for stream in Stream::BOTH {
        writer.end(stream).unwrap();
    }
    let there = texts(&path, Format::Local).len() as u64;
    assert!(there > 0);
    assert_eq!(writer.give_up(), 20 - there);
    assert!(!writer.is_waiting());
}

#[test]
fn a_rotation_waits_for_room_as_well() {
    let disk = Disk::with(0);
    let (path, mut writer) = open(&disk, Format::Local, SMALL);
    put(&mut writer, 100..130);
    assert!(aside(&path).is_empty() || texts(&path, Format::Local).is_empty());
    disk.set(usize::MAX);
    put(&mut writer, 130..132);
    let there = texts(&path, Format::Local);
    assert_eq!(there.last(), lines(131..132).last());
    assert!(aside(&path).len() == 3, "{:?}", aside(&path));
    let first = 132 - there.len() as i64;
    assert_eq!(there, lines(first..132));
}

#[test]
fn a_full_disk_has_room_for_what_was_read() {
    let disk = taking_ahead(AHEAD);
    let (path, mut writer) = open(&disk, Format::Cri, NO_ROTATION);
    let mut count = 100;
    while !writer.is_behind() {
        put(&mut writer, count..count + 1);
        count += 1;
    }
    let size = writer.size;
    assert!(size <= AHEAD - LOW + 100 && !writer.is_waiting());
    // The process has ended: what it left behind goes in.
    let rest: String = (count..count + 6000)
        .map(|n| format!("line {n}\n"))
        .collect();
    writer.write(Stream::Stdout, rest.as_bytes()).unwrap();
    for stream in Stream::BOTH {
        writer.end(stream).unwrap();
    }
    assert!(!writer.is_waiting() && writer.size - size > LOW / 2);
    assert_eq!(texts(&path, Format::Cri), lines(100..count + 6000));
}

/// Of a process that stops anywhere on a disk that stopped anywhere, two full pipes have room in its log: whatever its
/// lines and its log are like.
#[test]
fn short_lines_have_room_as_well() {
    for format in [Format::Cri, Format::JsonFile, Format::Local] {
        for text in ["1\n", "12345\n", "a line like many others are\n"] {
            let chunk = text.repeat((32 << 10) / text.len());
            let disk = taking_ahead(40 << 20);
            let (path, mut writer) = open(&disk, format, NO_ROTATION);
            let mut count = 0;
            let mut write = |writer: &mut LogWriter| {
                writer.write(Stream::Stdout, chunk.as_bytes()).unwrap();
                count += chunk.len() / text.len();
            };
            write(&mut writer);
            disk.set(300 << 10);
            while !writer.is_behind() {
                write(&mut writer);
            }
            for _ in 0..4 {
                write(&mut writer);
            }
            assert!(!writer.is_waiting(), "{format:?} {text:?}");
            assert_eq!(texts(&path, format).len(), count);
        }
    }
}

#[test]
fn room_that_comes_again_is_taken_ahead_again() {
    let disk = taking_ahead(AHEAD);
    let (path, mut writer) = open(&disk, Format::Cri, NO_ROTATION);
    let mut count = 100;
    while !writer.is_behind() {
        put(&mut writer, count..count + 1);
        count += 1;
    }
    writer.catch_up().unwrap();
    assert!(writer.is_behind());
    let missing = writer.growth.low() - writer.file.ahead(writer.size);
    disk.set(bytes(missing - 1));
    writer.catch_up().unwrap();
    assert!(writer.is_behind());
    disk.set(bytes(missing));
    writer.catch_up().unwrap();
    assert!(!writer.is_behind(), "no more than that is asked for");
    disk.set(10 << 20);
    put(&mut writer, count..count + 1);
    assert!(writer.file.ahead(writer.size) > writer.growth.low());
    assert_eq!(texts(&path, Format::Cri), lines(100..count + 1));
}

#[test]
fn a_disk_too_small_to_take_blocks_ahead_is_written_to_all_the_same() {
    let disk = taking_ahead(10_000);
    let (path, mut writer) = open(&disk, Format::Cri, NO_ROTATION);
    put(&mut writer, 100..150);
    assert!(!writer.is_behind() && !writer.is_waiting());
    assert_eq!(texts(&path, Format::Cri), lines(100..150));
}

#[test]
fn a_new_file_is_begun_only_with_blocks_of_its_own() {
    let disk = taking_ahead(AHEAD + 4096);
    let (path, mut writer) = open(&disk, Format::Local, SMALL);
    put(&mut writer, 100..130);
    assert!(aside(&path).is_empty());
    disk.set(10 << 20);
    put(&mut writer, 130..131);
    assert_eq!(aside(&path), ["1"]);
    // The oldest one goes to make room.
    for second in 131..160 {
        put(&mut writer, second..second + 1);
    }
    assert_eq!(aside(&path), ["1", "2", "3"]);
    disk.set(0);
    put(&mut writer, 160..180);
    assert_eq!(aside(&path), ["1", "2"]);
    let there = texts(&path, Format::Local);
    assert_eq!(there, lines(180 - there.len() as i64..180));
}

#[test]
fn blocks_taken_ahead_are_given_back() {
    use std::os::unix::fs::MetadataExt;
    // A real file system.
    let blocks = |path: &Path| std::fs::metadata(path).unwrap().blocks() * 512;
    let path = place();
    let mut writer = LogWriter::open(&path, Format::Local, SMALL).unwrap();
    put(&mut writer, 100..101);
    assert!(blocks(&path) >= LOW && std::fs::metadata(&path).unwrap().len() < 100);
    put(&mut writer, 101..107);
    assert!(blocks(&with_suffix(&path, ".1")) < LOW);
    let moved = with_suffix(&path, ".moved");
    std::fs::rename(&path, &moved).unwrap();
    writer.reopen().unwrap();
    assert!(blocks(&moved) < LOW && blocks(&path) >= LOW);
    // Cut by others: what was taken has gone with it.
    put(&mut writer, 107..108);
    std::fs::write(&path, "").unwrap();
    assert!(blocks(&path) < LOW);
    put(&mut writer, 200..201);
    assert!(blocks(&path) >= LOW);
    drop(writer);
    assert!(blocks(&path) < LOW);
}

#[test]
fn another_error_loses_whole_lines_and_says_how_many() {
    let disk = Disk::default();
    let (path, mut writer) = open(&disk, Format::Cri, NO_ROTATION);
    disk.broken.set(true);
    assert!(writer.write(Stream::Stdout, b"a\nb\n").is_err());
    assert!(writer.lost() == 2 && !writer.is_waiting());
    disk.broken.set(false);
    writer.write(Stream::Stdout, b"c\n").unwrap();
    assert_eq!(
        texts(&path, Format::Cri),
        ["gantry: 2 lines of this log were lost: broken", "c"]
    );
}
