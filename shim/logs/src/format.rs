//! One line of a log in each format, written and read. Pure.
//!
//! Every entry of every format is one line of the file: what a torn write or a broken file costs is one line, and all
//! else (tails, repairs, rotation) need not know the format.

use serde::Deserialize;

use crate::clock;

/// Longest piece of a line that is written as one entry; longer lines come in pieces.
pub const MAX_PIECE: usize = 16 << 10;

/// Which format a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CRI: `RFC3339Nano stream P|F text`.
    Cri,
    /// Docker: `{"log":"text\n","stream":"stdout","time":"…"}`.
    JsonFile,
    /// Gantry's own for Docker's `local`: one letter (`o` stdout, `e` stderr, upper case for a piece whose line goes
    /// on), eleven of time, the text byte for byte.
    Local,
}

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, and all of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    pub(crate) const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// One entry: a line, or a piece of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds since 1970.
    pub time: i64,
    /// Where from.
    pub stream: Stream,
    /// The line goes on in the next entry of this stream; `bytes` has no newline at its end then.
    pub partial: bool,
    /// The text; a whole line ends in the newline the process wrote (or would have).
    pub bytes: Vec<u8>,
}

/// Adds one entry to `out`. `text` has no newline in it; `ended` says that one followed it.
pub fn write(
    out: &mut Vec<u8>,
    format: Format,
    time: i64,
    stream: Stream,
    text: &[u8],
    ended: bool,
) {
    match format {
        Format::Cri => {
            out.extend_from_slice(&clock::format(time));
            out.push(b' ');
            out.extend_from_slice(stream.as_str().as_bytes());
            out.extend_from_slice(if ended { b" F " } else { b" P " });
            out.extend_from_slice(text);
            out.push(b'\n');
        }
        Format::JsonFile => {
            out.extend_from_slice(b"{\"log\":\"");
            escape(out, text);
            if ended {
                out.extend_from_slice(b"\\n");
            }
            out.extend_from_slice(b"\",\"stream\":\"");
            out.extend_from_slice(stream.as_str().as_bytes());
            out.extend_from_slice(b"\",\"time\":\"");
            out.extend_from_slice(&clock::format(time));
            out.extend_from_slice(b"\"}\n");
        }
        Format::Local => {
            out.push(match (stream, ended) {
                (Stream::Stdout, true) => b'o',
                (Stream::Stdout, false) => b'O',
                (Stream::Stderr, true) => b'e',
                (Stream::Stderr, false) => b'E',
            });
            out.extend_from_slice(&pack(time));
            out.extend_from_slice(text);
            out.push(b'\n');
        }
    }
}

/// Letters of packed times, in the order of their values, so that packed times sort.
const LETTERS: &[u8; 64] = b"+-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A time in eleven letters of six bits.
fn pack(time: i64) -> [u8; 11] {
    let mut rest = time.cast_unsigned();
    let mut out = [0; 11];
    for letter in out.iter_mut().rev() {
        *letter = LETTERS[usize::try_from(rest & 63).unwrap_or(0)];
        rest >>= 6;
    }
    out
}

fn unpack(letters: &[u8]) -> Option<i64> {
    let mut time: u64 = 0;
    for letter in letters {
        let value = LETTERS.binary_search(letter).ok()?;
        time = time.checked_mul(64)? | u64::try_from(value).ok()?;
    }
    Some(time.cast_signed())
}

/// JSON's escapes; what is not UTF-8 becomes the replacement character, as Docker writes it.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..=0x1f | 0x7f => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    out.extend_from_slice(b"\\u00");
                    out.push(HEX[usize::from(byte >> 4)]);
                    out.push(HEX[usize::from(byte & 15)]);
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[derive(Deserialize)]
struct JsonLine {
    #[serde(default)]
    log: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    time: String,
}

/// Reads one line of a file (without its newline). `None` for a line that is none of this format; a reader passes over
/// those.
pub fn read(format: Format, line: &[u8]) -> Option<Entry> {
    match format {
        Format::Cri => {
            let mut words = line.splitn(4, |b| *b == b' ');
            let time = clock::parse(words.next()?)?;
            let stream = Stream::parse(words.next()?)?;
            // Tags may be joined by colons; the first one is P or F.
            let partial = match words.next()?.split(|b| *b == b':').next()? {
                b"P" => true,
                b"F" => false,
                _ => return None,
            };
            let mut bytes = words.next().unwrap_or_default().to_vec();
            if !partial {
                bytes.push(b'\n');
            }
            Some(Entry {
                time,
                stream,
                partial,
                bytes,
            })
        }
        Format::JsonFile => {
            let line: JsonLine = serde_json::from_slice(line).ok()?;
            Some(Entry {
                time: clock::parse(line.time.as_bytes())?,
                stream: Stream::parse(line.stream.as_bytes())?,
                partial: !line.log.ends_with('\n'),
                bytes: line.log.into_bytes(),
            })
        }
        Format::Local => {
            let (tag, rest) = line.split_first()?;
            let (time, text) = rest.split_at_checked(11)?;
            let (stream, partial) = match tag {
                b'o' => (Stream::Stdout, false),
                b'O' => (Stream::Stdout, true),
                b'e' => (Stream::Stderr, false),
                b'E' => (Stream::Stderr, true),
                _ => return None,
            };
            let mut bytes = text.to_vec();
            if !partial {
                bytes.push(b'\n');
            }
            Some(Entry {
                time: unpack(time)?,
                stream,
                partial,
                bytes,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(format: Format, text: &[u8], ended: bool) -> (String, Entry) {
        let mut out = Vec::new();
        write(
            &mut out,
            format,
            1_709_210_096_120_000_000,
            Stream::Stderr,
            text,
            ended,
        );
        assert_eq!(out.pop(), Some(b'\n'));
        assert!(!out.contains(&b'\n'), "one line");
        let entry = read(format, &out).unwrap();
        (String::from_utf8_lossy(&out).into_owned(), entry)
    }

    #[test]
    fn cri_lines() {
        let (line, entry) = round(Format::Cri, b"a b  c", true);
        assert_eq!(line, "2024-02-29T12:34:56.120000000Z stderr F a b  c");
        assert_eq!(entry.bytes, b"a b  c\n");
        let (line, entry) = round(Format::Cri, b"", false);
        assert_eq!(line, "2024-02-29T12:34:56.120000000Z stderr P ");
        assert!(entry.partial && entry.bytes.is_empty());
        assert!(
            read(Format::Cri, b"2024-02-29T12:34:56Z stdout P:x y")
                .unwrap()
                .partial
        );
        for bad in [
            "",
            "x",
            "2024-02-29T12:34:56Z stdout",
            "2024-02-29T12:34:56Z stdin F x",
            "2024-02-29T12:34:56Z stdout Q x",
        ] {
            assert_eq!(read(Format::Cri, bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn json_lines_hold_every_byte_that_is_text() {
        let mut all: Vec<u8> = (0..=0x7f).filter(|b| *b != b'\n').collect();
        all.extend("é𝄞".bytes());
        let (_, entry) = round(Format::JsonFile, &all, true);
        all.push(b'\n');
        assert_eq!(entry.bytes, all);
        let (line, entry) = round(Format::JsonFile, b"a\xffb", false);
        assert_eq!(
            line,
            "{\"log\":\"a\u{fffd}b\",\"stream\":\"stderr\",\"time\":\"2024-02-29T12:34:56.120000000Z\"}"
        );
        assert!(entry.partial);
        assert_eq!(read(Format::JsonFile, b"{\"log\":"), None);
    }

    #[test]
    fn local_lines_hold_every_byte() {
        let all: Vec<u8> = (0..=0xff).filter(|b| *b != b'\n').collect();
        for ended in [true, false] {
            let mut out = Vec::new();
            write(
                &mut out,
                Format::Local,
                1_709_210_096_120_000_001,
                Stream::Stdout,
                &all,
                ended,
            );
            assert_eq!(out.len(), all.len() + 13);
            out.pop();
            let entry = read(Format::Local, &out).unwrap();
            assert_eq!(entry.time, 1_709_210_096_120_000_001);
            assert_eq!(
                (entry.stream, entry.partial, entry.bytes.len()),
                (Stream::Stdout, !ended, all.len() + usize::from(ended))
            );
        }
        for time in [0, 1, 63, 64, i64::MAX, -1] {
            assert_eq!(unpack(&pack(time)), Some(time));
        }
        assert!(pack(1_709_210_096_119_999_999) < pack(1_709_210_096_120_000_000));
        for bad in ["", "o", "oshort", "x0000000000zhi", "o0000 00000zhi"] {
            assert_eq!(read(Format::Local, bad.as_bytes()), None, "{bad}");
        }
    }
}
