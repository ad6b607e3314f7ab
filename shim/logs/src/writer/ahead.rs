//! How much room the lines of a process will need that is read no further: what it leaves in its pipes, and by how much
//! bytes have grown on their way into this log of late. A short line has a long frame.

/// What two pipes hold, and one more read from each.
const LEFT: u64 = 192 << 10;
/// By how much bytes grow at least, as far as anybody knows before the first ones have come.
const LEAST: u64 = 3;
/// And at most: nothing but newlines is not provided for.
const MOST: u64 = 32;
/// Bytes read after which older ones count half.
const RECENT: u64 = 32 << 10;

/// Bytes in and out, the recent ones.
#[derive(Debug, Default)]
pub(super) struct Growth {
    read: u64,
    made: u64,
}

impl Growth {
    pub(super) fn note(&mut self, read: usize, made: usize) {
        self.read += read as u64;
        self.made += made as u64;
        while self.read > RECENT {
            self.read /= 2;
            self.made /= 2;
        }
    }

    /// Bytes to have ahead of the end of the log's file.
    pub(super) fn low(&self) -> u64 {
        LEFT * self.made.div_ceil(self.read.max(256)).clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_need_more_room() {
        let mut growth = Growth::default();
        assert_eq!(growth.low(), LEFT * LEAST);
        growth.note(10_000, 12_000);
        assert_eq!(growth.low(), LEFT * LEAST);
        // As a counter makes them, in json.
        for _ in 0..10 {
            growth.note(32 << 10, 13 * (32 << 10));
        }
        assert!(growth.low() > LEFT * 12 && growth.low() <= LEFT * 13);
        growth.note(1, 1 << 30);
        assert_eq!(growth.low(), LEFT * MOST);
        for _ in 0..40 {
            growth.note(32 << 10, 40 << 10);
        }
        assert_eq!(growth.low(), LEFT * LEAST);
    }
}
