//! The keys that let go of a terminal: `ctrl-p,ctrl-q` unless the client names others. What comes before them goes on
//! to the process; a beginning of them is held back until it is known what it is.

use crate::response::Failure;

/// Docker's own.
const DEFAULT: [u8; 2] = [16, 17];

/// A sequence of keys and how much of it has come.
#[derive(Debug)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    seen: usize,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q` or `a,b`; empty for the default.
    ///
    /// # Errors
    /// 400 for a word that is no key.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || Failure::bad_request(format!("Invalid detach keys ({text}) provided"));
        let keys = if text.is_empty() {
            DEFAULT.to_vec()
        } else {
            text.split(',')
                .map(|word| key(word).ok_or_else(wrong))
                .collect::<Result<_, _>>()?
        };
        Ok(Self { keys, seen: 0 })
    }

    /// Takes what was typed: what goes on to the process, and whether the sequence is complete (what follows it is
    /// nobody's).
    pub(crate) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(typed.len());
        for byte in typed {
            // Those held back that are no beginning any more; a shorter beginning may still be among them.
            while self.seen > 0 && *byte != self.keys[self.seen] {
                let held = self.seen;
                self.seen = (1..held)
                    .rev()
                    .find(|n| self.keys[held - n..held] == self.keys[..*n])
                    .unwrap_or(0);
                out.extend_from_slice(&self.keys[..held - self.seen]);
            }
            if *byte != self.keys[self.seen] {
                out.push(*byte);
                continue;
            }
            self.seen += 1;
            if self.seen == self.keys.len() {
                return (out, true);
            }
        }
        (out, false)
    }
}

/// One ASCII character, or `ctrl-` with one that a control code belongs to.
fn key(word: &str) -> Option<u8> {
    let one = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii() => Some(*byte),
        _ => None,
    };
    match word.strip_prefix("ctrl-") {
        Some(rest) => match one(rest)? {
            byte @ b'a'..=b'z' => Some(byte - b'a' + 1),
            byte @ (b'@' | b'['..=b'_') => Some(byte - b'@'),
            _ => None,
        },
        None if word == "DEL" => Some(127),
        None => one(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut keys = DetachKeys::parse(keys).unwrap();
        let mut all = Vec::new();
        for piece in pieces {
            let (out, over) = keys.filter(piece);
            all.extend(out);
            if over {
                return (all, true);
            }
        }
        (all, false)
    }

    #[test]
    fn the_sequence_ends_it_in_one_piece_or_in_many() {
        assert_eq!(typed("", &[b"ls\n\x10\x11rest"]), (b"ls\n".to_vec(), true));
        assert_eq!(typed("", &[b"a\x10", b"\x11"]), (b"a".to_vec(), true));
        assert_eq!(typed("ctrl-a,x", &[b"\x01", b"x"]), (vec![], true));
        assert_eq!(typed("DEL", &[b"a\x7f"]), (b"a".to_vec(), true));
    }

    #[test]
    fn a_beginning_that_comes_to_nothing_is_passed_on() {
        assert_eq!(
            typed("", &[b"\x10", b"x\x11"]),
            (b"\x10x\x11".to_vec(), false)
        );
        assert_eq!(typed("a,a,b", &[b"aaab"]), (b"a".to_vec(), true));
        assert_eq!(typed("a,b,a,c", &[b"ababac"]), (b"ab".to_vec(), true));
        assert_eq!(typed("", &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }

    #[test]
    fn a_word_that_is_no_key_is_refused() {
        for bad in ["ctrl-", "ctrl-1", "ab", "a,,b", "ctrl-ä", "ctrl-P"] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(key("ctrl-["), Some(27));
        assert_eq!(key("ctrl-@"), Some(0));
    }
}
