//! Frames of an attached client's own socket: one byte of kind, a big-endian u32 of the length, the bytes.
//!
//! Closing the socket detaches and ends nothing; the end of input is said by a frame of its own.

/// Bytes of a header.
pub const HEADER: usize = 5;
/// Longest payload of one frame.
pub const MAX_PAYLOAD: usize = 64 << 10;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To the process.
    Stdin,
    /// From the process, and everything of a terminal.
    Stdout,
    /// From the process.
    Stderr,
    /// No more input will come: half-close.
    End,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Stdin,
            1 => Self::Stdout,
            2 => Self::Stderr,
            3 => Self::End,
            _ => return None,
        })
    }
}

/// The header of a payload.
pub fn header(kind: Kind, len: usize) -> [u8; HEADER] {
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [kind as u8, len[0], len[1], len[2], len[3]]
}

/// Takes frames off the front of a growing buffer.
#[derive(Debug, Default)]
pub struct Parser {
    bytes: Vec<u8>,
}

/// Bytes that are no frame of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("attached client sent a frame of kind {kind} and {len} bytes")]
pub struct BadFrame {
    kind: u8,
    len: usize,
}

impl Parser {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame. Kinds of a newer peer are passed over.
    ///
    /// # Errors
    /// [`BadFrame`] for one longer than [`MAX_PAYLOAD`].
    pub fn next_frame(&mut self) -> Result<Option<(Kind, Vec<u8>)>, BadFrame> {
        loop {
            let Some([kind, a, b, c, d]) = self.bytes.first_chunk::<HEADER>().copied() else {
                return Ok(None);
            };
            let len = u32::from_be_bytes([a, b, c, d]) as usize;
            if len > MAX_PAYLOAD {
                return Err(BadFrame { kind, len });
            }
            if self.bytes.len() < HEADER + len {
                return Ok(None);
            }
            let rest = self.bytes.split_off(HEADER + len);
            let mut frame = std::mem::replace(&mut self.bytes, rest);
            frame.drain(..HEADER);
            if let Some(kind) = Kind::from_byte(kind) {
                return Ok(Some((kind, frame)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_is_parsed_again_byte_by_byte() {
        let mut bytes = header(Kind::Stdin, 3).to_vec();
        bytes.extend(b"abc");
        bytes.extend([9, 0, 0, 0, 1, b'?']);
        bytes.extend(header(Kind::End, 0));
        let mut parser = Parser::default();
        let mut got = Vec::new();
        for byte in bytes {
            parser.push(&[byte]);
            while let Some(frame) = parser.next_frame().unwrap() {
                got.push(frame);
            }
        }
        assert_eq!(
            got,
            [(Kind::Stdin, b"abc".to_vec()), (Kind::End, Vec::new())]
        );
    }

    #[test]
    fn a_lying_length_is_refused() {
        let mut parser = Parser::default();
        parser.push(&[0, 0xff, 0, 0, 0]);
        assert!(parser.next_frame().is_err());
    }
}
