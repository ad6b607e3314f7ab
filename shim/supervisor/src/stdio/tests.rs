//! A pretended process: the test holds its ends of the pipes.

use super::*;
use gantry_logs::format::Format;
use gantry_logs::{LogReader, ReadOptions, Rotation};
use gantry_supervisor_proto::stream::{Kind, Parser, header};
use std::path::{Path, PathBuf};

const ALL: Wants = Wants {
    stdin: true,
    stdout: true,
    stderr: true,
};

fn log(name: &str) -> (PathBuf, LogWriter) {
    let path = std::env::temp_dir().join(format!("gantry-stdio-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let writer = LogWriter::open(&path, Format::Cri, Rotation::default()).unwrap();
    (path, writer)
}

fn frames(socket: &mut UnixStream) -> Vec<(Kind, Vec<u8>)> {
    let mut parser = Parser::default();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    parser.push(&bytes);
    std::iter::from_fn(|| parser.next_frame().unwrap()).collect()
}

#[test]
fn output_goes_to_the_log_and_to_every_client() {
    let (path, writer) = log("out");
    let mut stdio = Stdio::new(Some(writer), false);
    let [_, out, err] = stdio.pipes(false).unwrap();
    let mut clients: Vec<UnixStream> = (0..2).map(|_| stdio.attach(ALL).unwrap().into()).collect();
    File::from(out).write_all(b"out\nrest").unwrap();
    File::from(err).write_all(b"err\n").unwrap();
    let mut buffer = [0; 3];
    while !stdio.is_drained() {
        stdio.read_output(0, &mut buffer);
        stdio.read_output(1, &mut buffer);
    }
    stdio.end();
    for client in &mut clients {
        let (out, err): (Vec<_>, Vec<_>) = frames(client)
            .into_iter()
            .partition(|f| f.0 == Kind::Stdout);
        let join =
            |list: Vec<(Kind, Vec<u8>)>| list.into_iter().flat_map(|f| f.1).collect::<Vec<_>>();
        assert_eq!(
            (join(out), join(err)),
            (b"out\nrest".to_vec(), b"err\n".to_vec())
        );
    }
    let lines = LogReader::open(&path, Format::Cri, ReadOptions::default())
        .unwrap()
        .read_more()
        .unwrap();
    let texts: Vec<_> = lines.into_iter().map(|l| l.bytes).collect();
    assert_eq!(
        texts,
        [b"out\n".to_vec(), b"err\n".to_vec(), b"rest\n".to_vec()]
    );
    std::fs::remove_file(path).unwrap();
}

/// A log on a disk that is full until [`room`].
fn full(name: &str) -> (PathBuf, LogWriter) {
    let (path, _) = log(name);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let writer = LogWriter::open(&path, Format::Cri, Rotation::default()).unwrap();
    (path, writer)
}

/// From now on the log is a file on another disk.
fn room(path: &Path) {
    std::fs::remove_file(path).unwrap();
    File::create(path).unwrap();
}

fn texts(path: &Path) -> Vec<String> {
    let mut reader = LogReader::open(path, Format::Cri, ReadOptions::default()).unwrap();
    let entries =
        std::iter::from_fn(|| Some(reader.read_more().unwrap()).filter(|e| !e.is_empty()));
    entries
        .flatten()
        .map(|e| String::from_utf8(e.bytes).unwrap().trim_end().to_owned())
        .collect()
}

/// Numbered lines until nobody reads them; answers how many.
fn write_until_held_up(stdio: &mut Stdio, out: &mut File) -> usize {
    let mut buffer = vec![0; 32 << 10];
    let mut count = 0;
    loop {
        while stdio.output(0).is_some() && out.write(format!("line {count}\n").as_bytes()).is_ok() {
            count += 1;
        }
        if stdio.output(0).is_none() {
            return count;
        }
        stdio.read_output(0, &mut buffer);
    }
}

#[test]
fn a_process_waits_for_room_for_its_log_and_no_line_is_lost() {
    let (path, writer) = full("room");
    let mut stdio = Stdio::new(Some(writer), false);
    let [_, out, _err] = stdio.pipes(false).unwrap();
    let mut out = nonblocking(out).unwrap();
    let mut count = write_until_held_up(&mut stdio, &mut out);
    assert!(
        !stdio.is_held_up(),
        "by no client: an exit does not wait for it"
    );
    let again = stdio.deadline(false).expect("tried again");
    stdio.pass_time(again, false);
    assert!(stdio.output(0).is_none(), "still full");
    let again = stdio.deadline(false).unwrap();
    room(&path);
    stdio.reopen_log().unwrap();
    stdio.pass_time(again, false);
    assert!(stdio.deadline(false).is_none() && stdio.output(0).is_some());
    for _ in 0..10 {
        out.write_all(format!("line {count}\n").as_bytes()).unwrap();
        count += 1;
    }
    drop((out, _err));
    let mut buffer = vec![0; 32 << 10];
    while !stdio.is_drained() {
        stdio.read_output(0, &mut buffer);
        stdio.read_output(1, &mut buffer);
    }
    stdio.end();
    assert!(!stdio.is_busy());
    let expected: Vec<String> = (0..count).map(|n| format!("line {n}")).collect();
    assert!(texts(&path) == expected, "{count} lines");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_process_that_ends_on_a_full_disk_is_read_to_its_end_and_its_log_waits_on() {
    let (path, writer) = full("end");
    let mut stdio = Stdio::new(Some(writer), false);
    let [_, out, err] = stdio.pipes(false).unwrap();
    let mut out = nonblocking(out).unwrap();
    let mut count = write_until_held_up(&mut stdio, &mut out);
    while out
        .write(format!("line {count}\n").as_bytes())
        .is_ok_and(|n| n > 6)
    {
        count += 1;
    }
    drop((out, err));
    stdio.process_reaped();
    let mut buffer = vec![0; 32 << 10];
    while !stdio.is_drained() {
        assert!(stdio.output(0).is_some() || stdio.output(1).is_some());
        stdio.read_output(0, &mut buffer);
        stdio.read_output(1, &mut buffer);
    }
    stdio.end();
    assert!(stdio.is_busy(), "for a moment");
    let now = Instant::now();
    let log = stdio.log.as_ref().unwrap();
    assert!(
        !log.is_worth_waiting(now + std::time::Duration::from_secs(3)),
        "and no longer"
    );
    assert!(stdio.deadline(false).is_some());
    room(&path);
    // As a pod's is; what no longer writes is not asked to.
    stdio.log.as_mut().unwrap().reopen().unwrap();
    stdio.pass_time(now, false);
    assert!(stdio.log.is_none() && !stdio.is_busy());
    let there = texts(&path);
    let expected: Vec<String> = (0..count).map(|n| format!("line {n}")).collect();
    assert!(there[..count] == expected[..], "{count} lines");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn input_ends_with_the_first_client_only_when_asked_for() {
    for once in [false, true] {
        let mut stdio = Stdio::new(None, once);
        let [input, ..] = stdio.pipes(true).unwrap();
        let mut input = nonblocking(input).unwrap();
        let mut client: UnixStream = stdio.attach(ALL).unwrap().into();
        client.write_all(&header(Kind::Stdin, 2)).unwrap();
        client.write_all(b"hi").unwrap();
        client.write_all(&header(Kind::End, 0)).unwrap();
        stdio.client_ready(0, true, false);
        let mut text = Vec::new();
        let end = input.read_to_end(&mut text);
        assert_eq!(text, b"hi");
        assert_eq!(end.is_ok(), once, "end of file reached");
        stdio.close_input();
        assert_eq!(input.read_to_end(&mut text).unwrap(), 0);
    }
}

#[test]
fn a_client_that_leaves_ends_nothing() {
    let mut stdio = Stdio::new(None, true);
    let [input, ..] = stdio.pipes(true).unwrap();
    let mut input = nonblocking(input).unwrap();
    drop(stdio.attach(ALL).unwrap());
    stdio.client_ready(0, true, true);
    assert_eq!(stdio.clients().count(), 0);
    let error = input.read(&mut [0]).unwrap_err();
    assert_eq!(
        error.kind(),
        io::ErrorKind::WouldBlock,
        "input is still open"
    );
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_the_process_is_read_again() {
    let mut stdio = Stdio::new(None, false);
    let [_, out, _err] = stdio.pipes(false).unwrap();
    let _lazy = stdio.attach(ALL).unwrap();
    let mut out = nonblocking(out).unwrap();
    let mut buffer = vec![0; 32 << 10];
    while stdio.output(0).is_some() {
        let _ = out.write(&[1; 4096]);
        stdio.read_output(0, &mut buffer);
    }
    let deadline = stdio.deadline(false).unwrap();
    stdio.pass_time(deadline - std::time::Duration::from_millis(1), false);
    assert!(stdio.output(0).is_none());
    stdio.pass_time(deadline, false);
    assert!(stdio.output(0).is_some());
}

#[test]
fn input_nobody_reads_is_bounded() {
    let mut stdio = Stdio::new(None, false);
    let theirs = stdio.pipes(true).unwrap();
    let mut client: UnixStream = stdio.attach(ALL).unwrap().into();
    client.set_nonblocking(true).unwrap();
    let mut frame = header(Kind::Stdin, 4096).to_vec();
    frame.extend([0; 4096]);
    let mut took = 0;
    let wants_more = |stdio: &Stdio| {
        let first = stdio.clients().next();
        first.and_then(|(key, _, room)| room.then_some(key))
    };
    while let Some(key) = wants_more(&stdio) {
        if client.write(&frame).is_ok_and(|n| n == frame.len()) {
            took += 4096;
        }
        stdio.client_ready(key, true, false);
        assert!(took < 1 << 20);
    }
    assert!(stdio.input().is_some());
    drop(theirs);
    stdio.write_input();
    assert!(stdio.input().is_none(), "a closed end takes no more");
}

#[test]
fn an_only_client_of_an_exec_may_take_its_time() {
    let mut stdio = Stdio::new(None, true).patient(0);
    let [_, out, _err] = stdio.pipes(false).unwrap();
    let _lazy = stdio.attach(ALL).unwrap();
    let mut out = nonblocking(out).unwrap();
    let mut buffer = vec![0; 32 << 10];
    while stdio.output(0).is_some() {
        let _ = out.write(&[1; 4096]);
        stdio.read_output(0, &mut buffer);
    }
    assert!(stdio.deadline(false).is_none(), "nobody else is held up");
    let deadline = stdio.deadline(true).expect("unless the sandbox ends");
    let second = stdio.attach(ALL).unwrap();
    assert!(stdio.deadline(false).is_some(), "or somebody else waits");
    drop(second);
    stdio.pass_time(deadline, true);
    assert!(stdio.output(0).is_some());
}

#[test]
fn what_is_over_the_limit_is_read_and_dropped_for_each_stream() {
    let mut stdio = Stdio::new(None, true).patient(5);
    let [_, out, err] = stdio.pipes(false).unwrap();
    let mut client: UnixStream = stdio.attach(ALL).unwrap().into();
    File::from(out).write_all(&[b'o'; 4000]).unwrap();
    File::from(err).write_all(b"err").unwrap();
    let mut buffer = [0; 3];
    while !stdio.is_drained() {
        stdio.read_output(0, &mut buffer);
        stdio.read_output(1, &mut buffer);
    }
    stdio.end();
    let (out, err): (Vec<_>, Vec<_>) = frames(&mut client)
        .into_iter()
        .partition(|f| f.0 == Kind::Stdout);
    let join = |list: Vec<(Kind, Vec<u8>)>| list.into_iter().flat_map(|f| f.1).collect::<Vec<_>>();
    assert_eq!((join(out), join(err)), (b"ooooo".to_vec(), b"err".to_vec()));
}

#[test]
fn what_a_client_said_before_it_went_is_heard_though_it_cannot_be_written_to() {
    let mut stdio = Stdio::new(None, true).patient(0);
    let [input, out, _err] = stdio.pipes(true).unwrap();
    let mut client: UnixStream = stdio.attach(ALL).unwrap().into();
    client.write_all(&header(Kind::Stdin, 2)).unwrap();
    client.write_all(b"hi").unwrap();
    client.write_all(&header(Kind::End, 0)).unwrap();
    drop(client);
    // Output finds out first that it has gone.
    File::from(out).write_all(b"x").unwrap();
    stdio.read_output(0, &mut [0; 8]);
    assert_eq!(stdio.clients().count(), 0);
    let mut text = String::new();
    File::from(input).read_to_string(&mut text).unwrap();
    assert_eq!(text, "hi", "and its end");
}
