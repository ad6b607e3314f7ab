//! Follows a client's requests on one connection just closely enough to know where each head begins, and makes requests
//! that take the connection over without saying so look as if they had said so.
//!
//! Older SDKs post `attach` and `exec/start` without an `Upgrade` header and then use the connection as a pipe. The HTTP
//! library hands a connection over only for a request that asks for it, hence this.

use bytes::{Bytes, BytesMut};

/// Header put into a request that did not ask for the takeover; its answer is 200, not 101.
pub(crate) const PLAIN: &str = "x-gantry-plain-hijack";
/// Longest head that is looked at; the HTTP library refuses longer ones itself.
const MAX_HEAD: usize = 64 << 10;

/// Where in its requests a client is.
#[derive(Debug)]
enum Place {
    /// In a head, of which this much has come.
    Head(BytesMut),
    /// In a body with so many bytes left.
    Body(u64),
    /// In a chunked body.
    Chunked(Chunks),
    /// Bytes are passed on as they are.
    Raw,
}

/// Where in a chunked body a client is.
#[derive(Debug)]
enum Chunks {
    /// In the line with a chunk's size.
    Size(Vec<u8>),
    /// In a chunk and its line end, with so many bytes left.
    Data(u64),
    /// In the trailer: this many bytes of the current line have come.
    Trailer(usize),
}

/// What a request asked about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Takeover {
    /// It did not say so: answer 200 instead of 101.
    pub(crate) plain: bool,
}

/// The follower of one connection.
#[derive(Debug)]
pub(crate) struct Follower {
    place: Place,
    asked: Option<Takeover>,
}

impl Follower {
    /// At the start of a connection.
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Head(BytesMut::new()),
            asked: None,
        }
    }

    /// The takeover the last request asked for, until it is answered.
    pub(crate) fn asked(&self) -> Option<Takeover> {
        self.asked
    }

    /// The request was answered: taken over, or not and the next request may come.
    pub(crate) fn answered(&mut self, taken_over: bool) {
        self.asked = None;
        if taken_over {
            self.place = Place::Raw;
        } else if matches!(self.place, Place::Raw) {
            self.place = Place::Head(BytesMut::new());
        }
    }

    /// No more will come: gives out what was held back.
    pub(crate) fn end(&mut self, out: &mut BytesMut) {
        if let Place::Head(held) = &mut self.place {
            out.extend_from_slice(&held.split());
        }
    }

    /// Takes what the client sent and gives out what the HTTP library shall see.
    pub(crate) fn feed(&mut self, mut input: Bytes, out: &mut BytesMut) {
        while !input.is_empty() {
            match &mut self.place {
                Place::Raw => out.extend_from_slice(&input.split_off(0)),
                Place::Body(left) => {
                    let take = input
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    out.extend_from_slice(&input.split_to(take));
                    *left -= take as u64;
                    if *left == 0 {
                        self.next_request();
                    }
                }
                Place::Chunked(chunks) => {
                    let (used, over) = chunks.feed(&input);
                    out.extend_from_slice(&input.split_to(used));
                    if over {
                        self.next_request();
                    }
                }
                Place::Head(held) => {
                    let from = held.len();
                    held.extend_from_slice(&input);
                    let Some(end) = head_end(held, from) else {
                        if held.len() > MAX_HEAD {
                            out.extend_from_slice(&held.split());
                            self.place = Place::Raw;
                        }
                        return;
                    };
                    let rest = input.split_off(end - from);
                    input = rest;
                    held.truncate(end);
                    let head = held.split();
                    self.head(&head, out);
                }
            }
        }
    }

    fn head(&mut self, head: &[u8], out: &mut BytesMut) {
        let (facts, rewritten) = read_head(head);
        out.extend_from_slice(rewritten.as_deref().unwrap_or(head));
        if facts.upgrade || rewritten.is_some() {
            self.asked = Some(Takeover {
                plain: rewritten.is_some(),
            });
        }
        self.place = if facts.chunked {
            Place::Chunked(Chunks::Size(Vec::new()))
        } else if facts.length > 0 {
            Place::Body(facts.length)
        } else {
            self.after_body()
        };
    }

    fn next_request(&mut self) {
        self.place = self.after_body();
    }

    /// Behind a request that asks for the connection anything may follow.
    fn after_body(&self) -> Place {
        if self.asked.is_some() {
            Place::Raw
        } else {
            Place::Head(BytesMut::new())
        }
    }
}

impl Chunks {
    /// How many of the bytes belong to the body, and whether it ends with them.
    fn feed(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < input.len() {
            match self {
                Self::Data(left) => {
                    let take = (input.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    at += take;
                    *left -= take as u64;
                    if *left == 0 {
                        *self = Self::Size(Vec::new());
                    }
                }
                Self::Size(line) => {
                    let byte = input[at];
                    at += 1;
                    if byte != b'\n' {
                        // Extensions of a chunk may be long; the size is in the first digits.
                        if line.len() < 32 {
                            line.push(byte);
                        }
                        continue;
                    }
                    *self = match chunk_size(line) {
                        0 => Self::Trailer(0),
                        size => Self::Data(size.saturating_add(2)),
                    };
                }
                Self::Trailer(seen) => {
                    let byte = input[at];
                    at += 1;
                    match byte {
                        b'\n' if *seen == 0 => return (at, true),
                        b'\n' => *seen = 0,
                        b'\r' => {}
                        _ => *seen += 1,
                    }
                }
            }
        }
        (at, false)
    }
}

/// Size of a chunk; what is no number counts as the last one, and the HTTP library refuses it.
fn chunk_size(line: &[u8]) -> u64 {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .map(|byte| char::from(*byte))
        .collect::<String>();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}

/// Where the head ends (behind the empty line), looking only where new bytes came in.
fn head_end(held: &[u8], from: usize) -> Option<usize> {
    let start = from.saturating_sub(3);
    (start..held.len())
        .filter(|at| held[*at] == b'\n')
        .find_map(|at| match &held[at + 1..] {
            [b'\n', ..] => Some(at + 2),
            [b'\r', b'\n', ..] => Some(at + 3),
            _ => None,
        })
}

#[derive(Debug, Default)]
struct Facts {
    length: u64,
    chunked: bool,
    upgrade: bool,
    close: bool,
}

/// Reads what matters of a head, and rewrites it where it takes the connection over without saying so.
fn read_head(head: &[u8]) -> (Facts, Option<Vec<u8>>) {
    let mut facts = Facts::default();
    let lines: Vec<&[u8]> = head.split_inclusive(|byte| *byte == b'\n').collect();
    let (first, rest) = lines
        .split_first()
        .map_or((&b""[..], &[][..]), |(f, r)| (*f, r));
    for line in rest {
        let Some((name, value)) = header(line) else {
            continue;
        };
        match name.as_str() {
            "content-length" => facts.length = value.parse().unwrap_or(0),
            "transfer-encoding" => facts.chunked = value.to_ascii_lowercase().ends_with("chunked"),
            "upgrade" => facts.upgrade = true,
            "connection" => facts.close = value.to_ascii_lowercase().contains("close"),
            _ => {}
        }
    }
    if facts.upgrade || !takes_over(first) {
        return (facts, None);
    }
    let mut out = first.to_vec();
    // One that is not taken over after all (an error, a detached exec) is closed behind the answer, if that was asked.
    let connection: &[u8] = if facts.close {
        b"Connection: close, Upgrade\r\n"
    } else {
        b"Connection: Upgrade\r\n"
    };
    out.extend_from_slice(connection);
    out.extend_from_slice(b"Upgrade: tcp\r\n");
    out.extend_from_slice(PLAIN.as_bytes());
    out.extend_from_slice(b": 1\r\n");
    for line in rest {
        if header(line).is_none_or(|(name, _)| name != "connection" && name != PLAIN) {
            out.extend_from_slice(line);
        }
    }
    (facts, Some(out))
}

fn header(line: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(line).ok()?;
    let (name, value) = text.split_once(':')?;
    Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// Whether this request line is one of the two whose connection becomes a pipe.
fn takes_over(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else {
        return false;
    };
    let mut words = text.split_whitespace();
    let (Some("POST"), Some(target)) = (words.next(), words.next()) else {
        return false;
    };
    let path = target.split('?').next().unwrap_or_default();
    let (_, path) = crate::version::split(path);
    matches!(
        path.split('/').collect::<Vec<_>>()[..],
        ["", "containers", _, "attach"] | ["", "exec", _, "start"]
    )
}

#[cfg(test)]
mod tests;
