//! Docker's framed streams, taken apart.

/// Standard output and standard error of a framed stream; `None` if a frame is torn.
#[must_use]
pub fn split(mut bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let head = bytes.get(..8)?;
        let size = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let text = bytes.get(8..8 + size)?;
        match head[0] {
            1 => out.extend_from_slice(text),
            2 => err.extend_from_slice(text),
            _ => return None,
        }
        bytes = &bytes[8 + size..];
    }
    Some((out, err))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn frames_are_told_apart_and_torn_ones_found() {
        let bytes = b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x01!";
        assert_eq!(split(bytes), Some((b"hi".to_vec(), b"!".to_vec())));
        assert_eq!(split(&bytes[..9]), None);
        assert_eq!(split(b""), Some((Vec::new(), Vec::new())));
    }
}
