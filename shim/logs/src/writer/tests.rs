//! Lines in, lines out.

use super::*;
use crate::aside::with_suffix;
use crate::reader::{LogReader, ReadOptions};
use crate::testing::place;

mod full_disk;

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

const SMALL: Rotation = Rotation {
    max_size: 100,
    max_files: 4,
    compress: true,
};

fn put(writer: &mut LogWriter, seconds: std::ops::Range<i64>) {
    for second in seconds {
        let line = format!("line {second}\n");
        let _ = writer.write_at(second * 1_000_000_000, Stream::Stdout, line.as_bytes());
    }
}

fn texts(path: &Path, format: Format) -> Vec<String> {
    let lines = all(path, format).into_iter();
    lines
        .map(|(_, _, b)| String::from_utf8(b).unwrap().trim_end().to_owned())
        .collect()
}

fn lines(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|n| format!("line {n}")).collect()
}

/// Files put aside, as `1` or `1z`.
fn aside(path: &Path) -> Vec<String> {
    let there = crate::aside::list(path).unwrap().into_iter();
    there
        .map(|a| format!("{}{}", a.number, if a.gz { "z" } else { "" }))
        .collect()
}

#[test]
fn a_rotation_that_fails_costs_no_line_and_is_tried_again() {
    let path = place();
    let mut writer = LogWriter::open(&path, Format::Local, SMALL).unwrap();
    let blocked = with_suffix(&path, ".next");
    std::fs::create_dir(&blocked).unwrap();
    put(&mut writer, 100..150);
    assert_eq!(texts(&path, Format::Local), lines(100..150));
    assert!(aside(&path).is_empty() && std::fs::metadata(&path).unwrap().len() > 1000);
    std::fs::remove_dir(&blocked).unwrap();
    put(&mut writer, 150..152);
    assert_eq!(aside(&path), ["1"]);
    assert_eq!(texts(&path, Format::Local), lines(100..152));
}

#[test]
fn numbers_are_not_changed_under_a_reader() {
    let path = place();
    let mut writer = LogWriter::open(&path, Format::Local, SMALL).unwrap();
    let reader = std::fs::File::open(path.parent().unwrap()).unwrap();
    reader.lock_shared().unwrap();
    put(&mut writer, 100..150);
    assert!(aside(&path).is_empty());
    drop(reader);
    put(&mut writer, 150..151);
    assert_eq!(aside(&path), ["1"]);
    assert_eq!(texts(&path, Format::Local), lines(100..151));
}

#[test]
fn a_file_that_was_compressed_while_numbers_changed_gets_the_right_name() {
    let path = place();
    let mut writer = LogWriter::open(&path, Format::Local, SMALL).unwrap();
    put(&mut writer, 100..107);
    let job = writer.next_job().unwrap();
    assert!(writer.next_job().is_none(), "one at a time");
    put(&mut writer, 107..113);
    assert_eq!(aside(&path), ["1", "2"]);
    job.run().unwrap();
    writer.job_done(true);
    assert_eq!(aside(&path), ["1", "2z"]);
    assert_eq!(texts(&path, Format::Local), lines(100..113));
    // One that was rotated away meanwhile leaves nothing.
    let job = writer.next_job().unwrap();
    put(&mut writer, 113..140);
    assert_eq!(aside(&path), ["1", "2", "3"]);
    job.run().unwrap();
    writer.job_done(true);
    assert_eq!(aside(&path), ["1", "2", "3"]);
    assert!(!with_suffix(&path, ".gz.tmp").is_file());
    let got = texts(&path, Format::Local);
    assert_eq!(got.last(), lines(139..140).last());
    // A job that fails leaves the file as it is.
    put(&mut writer, 140..147);
    drop(writer.next_job().unwrap());
    writer.job_done(false);
    assert_eq!(aside(&path), ["1", "2", "3"]);
}

#[test]
fn what_a_dead_writer_left_is_put_right() {
    let path = place();
    put(
        &mut LogWriter::open(&path, Format::Local, SMALL).unwrap(),
        100..113,
    );
    assert_eq!(aside(&path), ["1", "2"]);
    let before = texts(&path, Format::Local);
    // Half a shift, half a compression, a compressed file whose plain one stayed, half a line.
    std::fs::rename(with_suffix(&path, ".2"), with_suffix(&path, ".3")).unwrap();
    std::fs::write(with_suffix(&path, ".next"), "").unwrap();
    std::fs::write(with_suffix(&path, ".gz.tmp"), "half").unwrap();
    std::fs::write(with_suffix(&path, ".1.gz"), "not even whole").unwrap();
    let mut file = std::fs::File::options().append(true).open(&*path).unwrap();
    std::io::Write::write_all(&mut file, b"o00000000000half a li").unwrap();
    assert_eq!(texts(&path, Format::Local), before);
    let mut writer = LogWriter::open(&path, Format::Local, SMALL).unwrap();
    assert_eq!(aside(&path), ["1", "3"]);
    put(&mut writer, 113..119);
    assert_eq!(aside(&path), ["1", "2", "3"], "the hole is filled");
    assert_eq!(texts(&path, Format::Local), lines(100..119));
    assert!(!with_suffix(&path, ".gz.tmp").is_file());
}

#[test]
fn a_file_that_others_moved_or_removed_is_made_again() {
    let path = place();
    let mut writer = LogWriter::open(&path, Format::JsonFile, SMALL).unwrap();
    put(&mut writer, 100..101);
    std::fs::rename(&path, with_suffix(&path, ".1")).unwrap();
    // Not ours any more to be compressed, and not yet somebody's: it is still written to.
    writer.tidy().unwrap();
    assert!(writer.next_job().is_none());
    put(&mut writer, 101..102);
    assert_eq!(texts(&path, Format::JsonFile), lines(100..102));
    std::fs::remove_file(&path).unwrap();
    put(&mut writer, 102..103);
    assert!(path.is_file());
    // Truncated by others: the size is believed, and nothing is written into a hole.
    std::fs::write(&path, "").unwrap();
    put(&mut writer, 103..104);
    assert_eq!(
        texts(&path, Format::JsonFile),
        ["line 100", "line 103"].map(str::to_owned)
    );
}

#[test]
fn one_file_is_begun_anew_and_never_cut_under_a_reader() {
    let path = place();
    let one = Rotation {
        max_files: 1,
        compress: false,
        ..SMALL
    };
    let mut writer = LogWriter::open(&path, Format::Local, one).unwrap();
    put(&mut writer, 100..104);
    let mut reader = LogReader::open(&path, Format::Local, ReadOptions::default()).unwrap();
    put(&mut writer, 104..108);
    let got = reader.read_more().unwrap().len() + reader.read_more().unwrap().len();
    assert_eq!(got, 8, "the old file to its end, then the new one");
    assert!(aside(&path).is_empty());
}

#[test]
fn no_file_is_larger_than_asked_by_more_than_a_line() {
    let path = place();
    let rotation = Rotation {
        max_size: 1000,
        max_files: 1000,
        compress: false,
    };
    let mut writer = LogWriter::open(&path, Format::JsonFile, rotation).unwrap();
    let text: String = (0..3000).map(|n| format!("{n}\n")).collect();
    writer.write(Stream::Stdout, text.as_bytes()).unwrap();
    let there = crate::aside::list(&path).unwrap();
    assert!(there.len() > 100, "{}", there.len());
    for aside in there {
        let len = std::fs::metadata(aside.path(&path)).unwrap().len();
        assert!((1000..1100).contains(&len), "{len}");
    }
    assert_eq!(all(&path, Format::JsonFile).len(), 3000);
}
