//! A client that reads, one that does not, and one that leaves.

use super::*;

const ALL: Wants = Wants {
    stdin: true,
    stdout: true,
    stderr: true,
};

fn read_all(socket: &mut UnixStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn output_arrives_framed_and_only_what_is_wanted() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let wants = Wants {
        stderr: false,
        ..ALL
    };
    let mut client = Client::new(ours, wants).unwrap();
    assert!(client.offer(true, b"no"));
    assert!(client.offer(false, b"yes"));
    assert!(!client.close(), "told all");
    drop(client);
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"\x01\0\0\0\x03yes");
}

#[test]
fn one_that_does_not_read_becomes_full_and_recovers_by_reading() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut client = Client::new(ours, ALL).unwrap();
    let piece = [7; 1024];
    let mut offered = 0;
    while !client.is_full() {
        assert!(client.offer(false, &piece));
        offered += piece.len() + stream::HEADER;
        assert!(offered < 4 << 20, "the queue is bounded");
    }
    assert!(client.deadline().unwrap() <= Instant::now() + PATIENCE);
    let mut got = 0;
    while got < offered {
        got += read_all(&mut theirs, 1024 + stream::HEADER).len();
        assert!(client.flush());
    }
    assert!(!client.is_full() && !client.has_queue(), "nothing was lost");
}

#[test]
fn input_sent_before_leaving_is_not_lost() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut client = Client::new(ours, ALL).unwrap();
    for _ in 0..10 {
        theirs
            .write_all(&stream::header(Kind::Stdin, 4096))
            .unwrap();
        theirs.write_all(&[b'x'; 4096]).unwrap();
    }
    theirs.write_all(&stream::header(Kind::End, 0)).unwrap();
    drop(theirs);
    let said = client.read(true);
    assert_eq!(
        (said.bytes.len(), said.end, said.gone),
        (40_960, true, true)
    );
    assert!(!client.offer(false, b"x"), "it has gone");
}
