//! What came while the disk was full, as it came: bounded, and nothing of it is a line of the log yet.

use std::collections::VecDeque;

use crate::format::Stream;

/// From here on the writer asks not to be given more.
pub(super) const ENOUGH: usize = 256 << 10;
/// More is not held. A process that ends may leave two pipes full, each of a mebibyte if it wants.
const MOST: usize = 3 << 20;
/// What an entry costs beside its bytes: a process may write one at a time.
const COST: usize = 64;

/// Something that waits for room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Bytes of a stream, read at this time.
    Bytes(i64, Stream, Vec<u8>),
    /// The stream has ended.
    End(Stream),
    /// So many lines of the stream were not even held.
    Lost(Stream, u64),
}

/// All of it, in order.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: VecDeque<Came>,
    cost: usize,
    /// In the middle of a line, per stream, of which a part was not held: the rest of it goes as well.
    cutting: [bool; 2],
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn is_enough(&self) -> bool {
        self.cost >= ENOUGH
    }

    pub(super) fn pop(&mut self) -> Option<Came> {
        let came = self.queue.pop_front()?;
        if let Came::Bytes(_, _, bytes) = &came {
            self.cost -= bytes.len() + COST;
        }
        if self.queue.is_empty() {
            // A full disk is rare, and the memory is needed elsewhere.
            self.queue = VecDeque::new();
        }
        Some(came)
    }

    pub(super) fn push(&mut self, time: i64, stream: Stream, mut bytes: &[u8]) {
        if self.cost + bytes.len() + COST > MOST {
            let lines = bytes.iter().filter(|b| **b == b'\n').count();
            self.lose(stream, lines as u64);
            self.cutting[stream as usize] = bytes.last() != Some(&b'\n');
            return;
        }
        if self.cutting[stream as usize] {
            let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
                return;
            };
            self.cutting[stream as usize] = false;
            self.lose(stream, 1);
            bytes = &bytes[end + 1..];
        }
        if !bytes.is_empty() {
            self.cost += bytes.len() + COST;
            let came = Came::Bytes(time, stream, bytes.to_vec());
            self.queue.push_back(came);
        }
    }

    pub(super) fn end(&mut self, stream: Stream) {
        if std::mem::take(&mut self.cutting[stream as usize]) {
            self.lose(stream, 1);
        }
        self.queue.push_back(Came::End(stream));
    }

    fn lose(&mut self, stream: Stream, lines: u64) {
        // What is lost one after the other is one entry, or they would have no bound.
        let mut last = self.queue.iter_mut().rev();
        while let Some(Came::Lost(of, count)) = last.next() {
            if *of == stream {
                *count += lines;
                return;
            }
        }
        self.queue.push_back(Came::Lost(stream, lines));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(held: &mut Held) -> Vec<Came> {
        std::iter::from_fn(|| held.pop()).collect()
    }

    #[test]
    fn what_came_goes_in_its_order() {
        let mut held = Held::default();
        held.push(1, Stream::Stdout, b"a\nb");
        held.push(2, Stream::Stderr, b"c");
        held.end(Stream::Stdout);
        assert_eq!(
            all(&mut held),
            [
                Came::Bytes(1, Stream::Stdout, b"a\nb".to_vec()),
                Came::Bytes(2, Stream::Stderr, b"c".to_vec()),
                Came::End(Stream::Stdout),
            ]
        );
        assert!(held.cost == 0 && held.is_empty());
    }

    #[test]
    fn single_bytes_are_enough_sooner() {
        let mut held = Held::default();
        let mut count = 0;
        while !held.is_enough() {
            held.push(1, Stream::Stdout, b"x");
            count += 1;
        }
        assert!(count < 5000, "{count}");
    }

    #[test]
    fn over_the_limit_whole_lines_go_and_are_counted() {
        let mut held = Held::default();
        let big = vec![b'x'; MOST - 200];
        held.push(1, Stream::Stdout, &big);
        held.push(2, Stream::Stderr, b"fits\n");
        let more = b"\nlost\nlost too\nhalf".repeat(20);
        for _ in 0..3 {
            held.push(3, Stream::Stdout, &more);
            held.push(3, Stream::Stderr, &more);
        }
        assert_eq!(held.queue.len(), 4, "one entry a stream");
        assert_eq!(
            held.pop(),
            Some(Came::Bytes(1, Stream::Stdout, big.clone()))
        );
        held.push(4, Stream::Stdout, b" of it");
        held.push(4, Stream::Stdout, b", and its end\nnext");
        held.end(Stream::Stderr);
        assert_eq!(
            all(&mut held),
            [
                Came::Bytes(2, Stream::Stderr, b"fits\n".to_vec()),
                Came::Lost(Stream::Stdout, 181),
                Came::Lost(Stream::Stderr, 180),
                Came::Bytes(4, Stream::Stdout, b"next".to_vec()),
                Came::Lost(Stream::Stderr, 1),
                Came::End(Stream::Stderr),
            ]
        );
    }
}
