//! Plain HTTP over a unix socket, by hand: tests send what no well-behaved client would.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// An answer, its body as it came (chunks put together).
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines in lower case.
    pub head: String,
    /// Body.
    pub body: String,
}

impl Answer {
    /// The body as JSON, `null` if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// An answer of which only the head has been read: the rest is a stream, or somebody else's protocol.
#[derive(Debug)]
pub struct Open {
    /// Status code.
    pub status: u16,
    /// Bytes of the body that came with the head.
    pub begun: Vec<u8>,
    /// The connection.
    pub stream: UnixStream,
}

impl Open {
    /// Everything until the server closes, `limit` bytes at most. What a broken connection had sent counts.
    pub fn read(&mut self, limit: usize) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.begun);
        let mut piece = vec![0; 64 << 10];
        while all.len() < limit {
            match self.stream.read(&mut piece) {
                Ok(count @ 1..) => all.extend_from_slice(&piece[..count]),
                _ => break,
            }
        }
        all
    }
}

/// Sends one request, with more lines of its head (each ending in `\r\n`), and reads the answer's head.
///
/// # Errors
/// If the socket cannot be reached or the answer is not HTTP.
pub fn open(socket: &Path, method: &str, path: &str, head: &str, body: &[u8]) -> Result<Open> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{head}\r\n",
        body.len()
    );
    stream.write_all(&[request.as_bytes(), body].concat())?;
    let mut raw = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(end) = raw.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        let count = stream
            .read(&mut piece)
            .with_context(|| format!("read the answer to {method} {path}"))?;
        if count == 0 {
            bail!("no answer to {method} {path}");
        }
        raw.extend_from_slice(&piece[..count]);
    };
    let status = String::from_utf8_lossy(&raw)
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("no status")?;
    let begun = raw.split_off(end);
    Ok(Open {
        status,
        begun,
        stream,
    })
}

/// Sends one request and reads the whole answer.
///
/// # Errors
/// If the socket cannot be reached or the answer is not HTTP.
pub fn request(socket: &Path, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Answer> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // A server may refuse a large body before it has read all of it: that is an answer, not a failure.
    let _ = stream.write_all(body);
    let mut raw = Vec::new();
    // A reset after the answer is the same story.
    let _ = stream.read_to_end(&mut raw);
    parse(&raw).with_context(|| format!("read the answer to {method} {path}"))
}

fn parse(raw: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(raw);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .context("no end of the header")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("no status")?;
    let head = head.to_ascii_lowercase();
    let body = if head.contains("transfer-encoding: chunked") {
        join(body)
    } else {
        body.to_owned()
    };
    Ok(Answer { status, head, body })
}

fn join(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        let Some(chunk) = rest.get(..size) else { break };
        if size == 0 {
            break;
        }
        body.push_str(chunk);
        chunks = rest[size..].trim_start_matches("\r\n");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn chunks_are_joined() {
        let raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let answer = parse(raw).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "abcde"));
    }
}
