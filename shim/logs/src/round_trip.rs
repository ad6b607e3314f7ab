//! Writer and readers against each other: whatever sizes, rotations, deaths and full disks there are, no line comes out
//! torn, twice or in another order, and none is missing but those the log itself says are.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;

use crate::CompressJob;
use crate::aside::{Aside, with_suffix};
use crate::format::{Format, MAX_PIECE, Stream};
use crate::reader::{LogReader, ReadOptions};
use crate::testing::{Dice, Disk, place};
use crate::writer::{LogWriter, Rotation};

/// Lines put together again from their pieces, as a client sees them.
#[derive(Default)]
struct Lines {
    open: [Vec<u8>; 2],
    lines: Vec<(Stream, String)>,
}

impl Lines {
    fn take(&mut self, reader: &mut LogReader) {
        loop {
            let entries = reader.read_more().unwrap();
            if entries.is_empty() {
                return;
            }
            for entry in entries {
                let line = &mut self.open[entry.stream as usize];
                line.extend_from_slice(&entry.bytes);
                if !entry.partial {
                    let text = String::from_utf8(std::mem::take(line)).unwrap();
                    self.lines
                        .push((entry.stream, text.trim_end_matches('\n').to_owned()));
                }
            }
        }
    }
}

fn read(path: &Path, format: Format, tail: Option<u64>) -> Vec<(Stream, String)> {
    let options = ReadOptions {
        tail,
        ..ReadOptions::default()
    };
    let mut lines = Lines::default();
    lines.take(&mut LogReader::open(path, format, options).unwrap());
    lines.lines
}

/// A numbered line of some length: the number is at both ends, so that a torn one shows.
fn line(number: usize, dice: &mut Dice) -> String {
    let len = match dice.below(20) {
        0 => MAX_PIECE - 20 + dice.below(40),
        1 => 2 * MAX_PIECE + dice.below(9),
        2 => 0,
        _ => dice.below(200),
    };
    format!("{number}:{}:{number}", "x".repeat(len))
}

fn number(line: &str) -> usize {
    let (first, rest) = line
        .split_once(':')
        .unwrap_or_else(|| panic!("torn: {line:?}"));
    let (middle, last) = rest
        .rsplit_once(':')
        .unwrap_or_else(|| panic!("torn: {line:?}"));
    assert!(
        first == last && middle.bytes().all(|b| b == b'x'),
        "torn: {line:.80?}"
    );
    first.parse().unwrap()
}

/// A disk with room for all; none is taken ahead, which for thousands of small files in memory takes long.
fn endless() -> Disk {
    Disk::with(usize::MAX)
}

struct World {
    dice: Dice,
    path: crate::testing::Place,
    format: Format,
    rotation: Rotation,
    writer: LogWriter,
    job: Option<CompressJob>,
    /// Of the present writer, per stream: what was not ended by a newline yet.
    half: [Option<(usize, String)>; 2],
    next: usize,
    /// What a reader must give out.
    written: Vec<(Stream, String)>,
}

impl World {
    fn new(seed: u64, format: Format) -> Self {
        let mut dice = Dice::new(seed);
        let rotation = Rotation {
            max_size: if format == Format::Cri {
                0
            } else {
                300 + dice.below(3000) as u64
            },
            max_files: 100_000,
            compress: dice.one_in(2),
        };
        let path = place();
        let mut writer = LogWriter::open(&path, format, rotation).unwrap();
        writer.pretend(&endless());
        Self {
            dice,
            path,
            format,
            rotation,
            writer,
            job: None,
            half: [None, None],
            next: 0,
            written: Vec::new(),
        }
    }

    /// Some lines in pieces cut anywhere, the last one perhaps without its end.
    fn write(&mut self) {
        let stream = Stream::BOTH[self.dice.below(2)];
        let mut bytes = String::new();
        if let Some((_, rest)) = self.half[stream as usize].take() {
            bytes.push_str(&rest);
            bytes.push('\n');
        }
        let mut whole: Vec<String> = Vec::new();
        for _ in 0..self.dice.below(5) {
            let text = line(self.next, &mut self.dice);
            self.next += 1;
            bytes.push_str(&text);
            bytes.push('\n');
            whole.push(text);
        }
        self.send(stream, bytes.as_bytes());
        self.written
            .extend(whole.into_iter().map(|text| (stream, text)));
    }

    fn send(&mut self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let cut = 1 + self.dice.below(bytes.len().min(40_000));
            let _ = self.writer.write(stream, &bytes[..cut]);
            bytes = &bytes[cut..];
        }
    }

    fn compress(&mut self) {
        match self.job.take() {
            None => self.job = self.writer.next_job(),
            // Killed, or done: both happen.
            Some(job) => {
                let done = !self.dice.one_in(4) && job.run().is_ok();
                self.writer.job_done(done);
            }
        }
    }

    /// The writer dies at any moment of its work; what it was about is lying there when the next one opens.
    fn die(&mut self) {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&*self.path)
            .unwrap();
        let mut torn = Vec::new();
        crate::format::write(
            &mut torn,
            self.format,
            1,
            Stream::Stdout,
            b"torn torn torn",
            true,
        );
        let cut = self.dice.below(torn.len());
        file.write_all(&torn[..cut]).unwrap();
        if self.rotation.max_size > 0 {
            self.die_rotating();
        }
        self.half = [None, None];
        self.job = None;
        self.writer = LogWriter::open(&self.path, self.format, self.rotation).unwrap();
        self.writer.pretend(&endless());
    }

    fn die_rotating(&mut self) {
        if self.dice.one_in(3) {
            std::fs::write(with_suffix(&self.path, ".next"), "").unwrap();
        }
        let there = crate::aside::list(&self.path).unwrap();
        match there.as_slice() {
            // In the middle of a shift: a hole.
            [.., last] if self.dice.one_in(3) => {
                let up = Aside {
                    number: last.number + 1,
                    ..*last
                };
                std::fs::rename(last.path(&self.path), up.path(&self.path)).unwrap();
            }
            // Compressed, and the plain one not yet removed.
            [first, ..] if !first.gz && self.dice.one_in(2) => {
                let gz = Aside { gz: true, ..*first };
                if !there.contains(&gz) {
                    let job = CompressJob {
                        from: std::fs::File::open(first.path(&self.path)).unwrap(),
                        to: std::fs::File::create(gz.path(&self.path)).unwrap(),
                    };
                    job.run().unwrap();
                }
            }
            _ => std::fs::write(with_suffix(&self.path, ".gz.tmp"), "half of it").unwrap(),
        }
    }
}

fn of(lines: &[(Stream, String)], stream: Stream) -> Vec<&String> {
    lines
        .iter()
        .filter(|l| l.0 == stream)
        .map(|l| &l.1)
        .collect()
}

fn compare(got: &[(Stream, String)], expected: &[(Stream, String)], what: &str) {
    for stream in Stream::BOTH {
        let (got, expected) = (of(got, stream), of(expected, stream));
        let at = got.iter().zip(&expected).position(|(a, b)| a != b);
        assert!(
            got == expected,
            "{what}: {stream:?} has {} lines of {}, first difference at {at:?}",
            got.len(),
            expected.len()
        );
    }
}

#[test]
fn what_was_written_is_read() {
    for seed in 0..20 {
        for format in [Format::Cri, Format::JsonFile, Format::Local] {
            let what = format!("seed {seed} {format:?}");
            let mut world = World::new(seed, format);
            let options = ReadOptions::default();
            let mut follower = LogReader::open(&world.path, format, options).unwrap();
            let mut followed = Lines::default();
            for _ in 0..60 {
                match world.dice.below(12) {
                    0..=5 => world.write(),
                    6..=8 => world.compress(),
                    9 if world.dice.one_in(2) => world.die(),
                    10 => followed.take(&mut follower),
                    _ => compare(&read(&world.path, format, None), &world.written, &what),
                }
            }
            followed.take(&mut follower);
            compare(
                &followed.lines,
                &world.written,
                &format!("{what}, followed"),
            );
            let all = read(&world.path, format, None);
            compare(&all, &world.written, &what);
            // Pieces count for the tail, so that only a log of short lines tells.
            let tail = world.dice.below(20);
            let end = read(&world.path, format, Some(tail as u64));
            assert!(end.len() <= tail, "{what}");
            assert_eq!(
                end.last().filter(|_| tail > 2),
                all.last().filter(|_| tail > 2),
                "{what}"
            );
        }
    }
}

#[test]
fn a_full_disk_costs_no_line() {
    for seed in 0..12 {
        for format in [Format::Cri, Format::JsonFile, Format::Local] {
            let what = format!("seed {seed} {format:?}");
            let mut world = World::new(seed, format);
            let ahead = 700 << 10;
            let takes_ahead = seed % 2 == 1;
            let disk = Disk {
                takes_ahead,
                ..Disk::with(if takes_ahead { ahead } else { 2000 })
            };
            world.writer.pretend(&disk);
            let options = ReadOptions::default();
            let mut follower = LogReader::open(&world.path, format, options).unwrap();
            let mut followed = Lines::default();
            for _ in 0..60 {
                match world.dice.below(10) {
                    0 => disk.set(world.dice.below(30_000)),
                    1 => disk.set(world.dice.below(60)),
                    2 => {
                        world.writer.catch_up().unwrap();
                        let got = read(&world.path, format, None);
                        begins(&world.written, &got, &what);
                    }
                    3 => followed.take(&mut follower),
                    4 if format == Format::Cri => {
                        // Its old file is the kubelet's, and here the follower's.
                        followed.take(&mut follower);
                        world.writer.reopen().unwrap();
                    }
                    _ => world.write(),
                }
            }
            disk.set(usize::MAX);
            for stream in Stream::BOTH {
                world.writer.end(stream).unwrap();
            }
            assert!(!world.writer.is_waiting() && world.writer.lost() == 0);
            followed.take(&mut follower);
            compare(&followed.lines, &world.written, &format!("{what} followed"));
            compare(&read(&world.path, format, None), &world.written, &what);
        }
    }
}

/// What is in a log whose end waits for room is the beginning of what was written, stream by stream.
fn begins(written: &[(Stream, String)], got: &[(Stream, String)], what: &str) {
    for stream in Stream::BOTH {
        let (got, written) = (of(got, stream), of(written, stream));
        assert!(
            written.starts_with(&got),
            "{what}: {stream:?} has {} lines that are not the first of {}",
            got.len(),
            written.len()
        );
    }
}

/// The number in a line of the log's own about what is missing.
fn note(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("gantry: ")?;
    let (count, why) = rest.split_once(" lines of this log were lost: ")?;
    assert!(!why.is_empty());
    count.parse().ok()
}

#[test]
fn a_broken_disk_costs_whole_lines_and_the_log_says_how_many() {
    for seed in 0..12 {
        for format in [Format::Cri, Format::JsonFile, Format::Local] {
            let what = format!("seed {seed} {format:?}");
            let mut world = World::new(seed, format);
            let disk = Disk::with(2000);
            world.writer.pretend(&disk);
            for _ in 0..60 {
                match world.dice.below(9) {
                    0 => disk.set(world.dice.below(30_000)),
                    1 => disk.set(world.dice.below(60)),
                    2 => disk.broken.set(world.dice.one_in(2)),
                    _ => world.write(),
                }
            }
            disk.set(usize::MAX);
            disk.broken.set(false);
            for stream in Stream::BOTH {
                world.writer.write(stream, b"99999::99999\n").unwrap();
                world.writer.end(stream).unwrap();
            }
            check_loss(&world, &what);
        }
    }
}

/// No line is torn, twice or out of order, and the log says how many are missing.
fn check_loss(world: &World, what: &str) {
    let mut said = 0;
    let mut seen = [0, 0];
    let mut last = [None, None];
    for (stream, text) in read(&world.path, world.format, None) {
        if let Some(count) = note(&text) {
            said += count;
            continue;
        }
        // A line of which the beginning was in the log already when the rest was lost.
        let Some((first, _)) = text.split_once(':').filter(|(_, t)| !t.is_empty()) else {
            panic!("{what}: torn: {text:?}");
        };
        let got = if text.ends_with(&format!(":{first}")) {
            number(&text)
        } else {
            assert!(text.len() >= MAX_PIECE, "{what}: torn: {text:?}");
            first.parse().unwrap()
        };
        assert!(
            last[stream as usize].is_none_or(|before| before < got),
            "{what}"
        );
        last[stream as usize] = Some(got);
        seen[stream as usize] += 1;
    }
    assert_eq!(said, world.writer.lost(), "{what}");
    let missing = world.next + 2 - (seen[0] + seen[1]);
    assert!(
        missing as u64 <= said,
        "{what}: {missing} missing, {said} said"
    );
}

/// Lines at full speed.
const LINES: usize = 2_000;

/// A reader and a compressor that never rest beside a writer at full speed.
#[test]
fn readers_keep_up_with_rotation_at_full_speed() {
    for (format, compress) in [
        (Format::JsonFile, false),
        (Format::JsonFile, true),
        (Format::Local, true),
    ] {
        let path = place();
        let rotation = Rotation {
            max_size: 2000,
            max_files: 100_000,
            compress,
        };
        let mut writer = LogWriter::open(&path, format, rotation).unwrap();
        writer.pretend(&endless());
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|which| {
                    let path = &path;
                    scope.spawn(move || {
                        let mut starts = VecDeque::new();
                        let mut seen = Lines::default();
                        let options = ReadOptions::default();
                        let mut reader = LogReader::open(path, format, options).unwrap();
                        while seen.lines.last().is_none_or(|l| number(&l.1) + 1 < LINES) {
                            seen.take(&mut reader);
                            if which == 2 {
                                // Opens it anew all the time: always from the first line on, without a hole.
                                starts.push_back(read(path, format, None));
                                let now = starts.pop_front().unwrap();
                                for (at, line) in now.iter().enumerate() {
                                    assert_eq!(number(&line.1), at);
                                }
                            }
                        }
                        seen.lines
                    })
                })
                .collect();
            let (jobs, work) = std::sync::mpsc::channel::<CompressJob>();
            let (tell, done) = std::sync::mpsc::channel();
            scope.spawn(move || {
                for job in work {
                    tell.send(job.run().is_ok()).unwrap();
                }
            });
            for number in 0..LINES {
                let text = format!("{number}:xxxx:{number}\n");
                writer.write(Stream::Stdout, text.as_bytes()).unwrap();
                if let Ok(done) = done.try_recv() {
                    writer.job_done(done);
                }
                if let Some(job) = writer.next_job() {
                    jobs.send(job).unwrap();
                }
            }
            drop(jobs);
            for reader in readers {
                let lines = reader.join().unwrap();
                let numbers: Vec<_> = lines.iter().map(|l| number(&l.1)).collect();
                assert!(
                    numbers.iter().copied().eq(0..LINES),
                    "{format:?} {compress}"
                );
            }
        });
        let gz = crate::aside::list(&path)
            .unwrap()
            .iter()
            .filter(|a| a.gz)
            .count();
        assert_eq!(gz > 0, compress);
    }
}
