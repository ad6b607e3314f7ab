//! Docker's framing of stdout and stderr on one stream: one byte stream number, three zeros, the length as four bytes
//! big endian, then the bytes.

use bytes::{BufMut, Bytes, BytesMut};

/// Raw bytes of a terminal.
pub(crate) const RAW: &str = "application/vnd.docker.raw-stream";
/// Framed bytes.
pub(crate) const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// One frame; longer pieces than 4 GiB do not occur.
pub(crate) fn frame(stderr: bool, bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + bytes.len());
    out.put_u8(if stderr { 2 } else { 1 });
    out.put_bytes(0, 3);
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
    out.freeze()
}

/// The bytes as this client wants them.
pub(crate) fn output(terminal: bool, stderr: bool, bytes: Vec<u8>) -> Bytes {
    if terminal {
        bytes.into()
    } else {
        frame(stderr, &bytes)
    }
}

/// The content type of an attach, exec or log stream. Clients before 1.42 know the first one only.
pub(crate) fn content_type(terminal: bool, version: crate::version::ApiVersion) -> &'static str {
    if terminal || version < crate::version::ApiVersion::one(42) {
        RAW
    } else {
        MULTIPLEXED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::ApiVersion;

    #[test]
    fn frames_are_eight_bytes_and_the_text() {
        assert_eq!(&frame(false, b"hi")[..], b"\x01\0\0\0\0\0\0\x02hi");
        assert_eq!(&frame(true, &[b'x'; 300])[..8], b"\x02\0\0\0\0\0\x01\x2c");
        assert_eq!(&frame(false, b"")[..], b"\x01\0\0\0\0\0\0\0");
        assert_eq!(&output(true, false, b"raw".to_vec())[..], b"raw");
    }

    #[test]
    fn old_clients_know_one_type() {
        assert_eq!(content_type(false, ApiVersion::one(41)), RAW);
        assert_eq!(content_type(false, ApiVersion::one(42)), MULTIPLEXED);
        assert_eq!(content_type(true, ApiVersion::one(50)), RAW);
    }
}
