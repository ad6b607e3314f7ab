//! Frames on the stream socket: a little-endian u32 of the length, then that many bytes of JSON. Descriptors ride on a
//! frame's first byte; the JSON says how many belong to it, so a reader that took several frames at once can tell.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use serde::Serialize;

/// Longest frame. A runtime-spec configuration is some 30 KiB; environments may make it larger.
pub const MAX_FRAME: usize = 8 << 20;

/// A stream that is not this protocol, or a message that is none of it.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error("frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    /// JSON that does not fit.
    #[error("decode frame: {0}")]
    Json(#[from] serde_json::Error),
    /// A frame promised descriptors that did not come.
    #[error("frame promises {0} descriptors that did not come")]
    Descriptors(u32),
    /// The socket failed.
    #[error("{0}")]
    Socket(#[from] gantry_sys::Error),
}

/// One frame's bytes.
///
/// # Panics
/// Never: every message of this crate has a JSON form.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)
        .expect("messages have string keys and write into memory");
    let len = u32::try_from(bytes.len() - 4).expect("messages are far below 4 GiB");
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes
}

/// Collects bytes and descriptors until a frame is whole.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Decoder {
    /// Takes what the socket holds now. `false` means the peer has closed its side.
    ///
    /// # Errors
    /// What recvmsg(2) answers, EAGAIN of a non-blocking socket included.
    pub fn read_from(&mut self, socket: impl AsFd) -> Result<bool, FrameError> {
        let mut buffer = [0; 16 << 10];
        let got = gantry_sys::fdpass::recv(socket, &mut buffer)?;
        if got.len == 0 {
            return Ok(false);
        }
        self.push(&buffer[..got.len], got.fds);
        Ok(true)
    }

    /// Adds bytes and the descriptors that came with them.
    pub fn push(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) {
        self.bytes.extend_from_slice(bytes);
        self.fds.extend(fds);
    }

    /// The next whole frame's JSON.
    ///
    /// # Errors
    /// [`FrameError::TooLong`]; the stream cannot be used any further.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some(head) = self.bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*head) as usize;
        if len > MAX_FRAME {
            return Err(FrameError::TooLong(len));
        }
        if self.bytes.len() < 4 + len {
            return Ok(None);
        }
        let rest = self.bytes.split_off(4 + len);
        let mut frame = std::mem::replace(&mut self.bytes, rest);
        frame.drain(..4);
        Ok(Some(frame))
    }

    /// The descriptors that belong to the frame just read.
    ///
    /// # Errors
    /// [`FrameError::Descriptors`] when fewer came.
    pub fn take_fds(&mut self, count: u32) -> Result<Vec<OwnedFd>, FrameError> {
        if self.fds.len() < count as usize {
            return Err(FrameError::Descriptors(count));
        }
        Ok(self.fds.drain(..count as usize).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let mut stream = encode(&serde_json::json!({"a": 1}));
        stream.extend(encode(&serde_json::json!({"b": "x".repeat(100)})));
        for cut in 1..stream.len() {
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece, Vec::new());
                while let Some(frame) = decoder.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames.len(), 2, "cut at {cut}");
            assert_eq!(frames[0], br#"{"a":1}"#);
        }
    }

    #[test]
    fn a_frame_too_long_is_refused_before_it_is_read() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes(), Vec::new());
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn descriptors_belong_to_the_frame_that_counts_them() {
        let (a, b) = UnixStream::pair().unwrap();
        let (r, _w) = nix::unistd::pipe().unwrap();
        gantry_sys::fdpass::send(&a, &encode(&1), &[]).unwrap();
        gantry_sys::fdpass::send(&a, &encode(&2), &[r.as_fd()]).unwrap();
        let mut decoder = Decoder::default();
        let mut frames = 0;
        while frames < 2 {
            assert!(decoder.read_from(&b).unwrap());
            while decoder.next_frame().unwrap().is_some() {
                frames += 1;
            }
        }
        assert_eq!(decoder.take_fds(1).unwrap().len(), 1);
        assert!(matches!(
            decoder.take_fds(1),
            Err(FrameError::Descriptors(1))
        ));
    }
}
