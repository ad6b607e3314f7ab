//! The Docker door by hand: one request a connection, and a connection that ends too early is told from an answer.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::facts::{Step, Stop, contradiction};

/// No answer for so long is a contradiction, not patience: nothing the clients ask for takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Body, chunks put together.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON, `null` if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The message of an error.
    #[must_use]
    pub fn text(&self) -> String {
        let text = self.json()["message"].as_str().map(str::to_owned);
        text.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// A request that was taken and whose answer's body still comes.
#[derive(Debug)]
pub struct Open {
    what: String,
    stream: UnixStream,
    raw: Vec<u8>,
    head: usize,
}

/// Where requests go to.
#[derive(Clone, Debug)]
pub struct Door {
    socket: PathBuf,
    /// Whether a failure of this round may be one that was injected.
    pub lenient: bool,
    /// Whether supervisors that are born in this round carry an armed point.
    pub fragile: bool,
}

impl Door {
    /// A door by its socket.
    #[must_use]
    pub fn new(socket: &Path, lenient: bool, fragile: bool) -> Self {
        Self {
            socket: socket.to_path_buf(),
            lenient,
            fragile,
        }
    }

    /// Asks and reads the whole answer.
    ///
    /// # Errors
    /// If the daemon goes away first, or does not answer at all.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Step<Reply> {
        self.send(method, path, body)?.rest()
    }

    /// The same with JSON.
    ///
    /// # Errors
    /// As [`Door::ask`].
    pub fn post(&self, path: &str, body: &Value) -> Step<Reply> {
        self.ask("POST", path, body.to_string().as_bytes())
    }

    /// The same without a body.
    ///
    /// # Errors
    /// As [`Door::ask`].
    pub fn get(&self, path: &str) -> Step<Reply> {
        self.ask("GET", path, b"")
    }

    /// Asks and waits for the answer's head only.
    ///
    /// # Errors
    /// As [`Door::ask`].
    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Step<Open> {
        let kind = if path.starts_with("/images/load") {
            "application/x-tar"
        } else {
            "application/json"
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.open(format!("{method} {path}"), &head, body)
    }

    /// Asks for the connection itself, to go on both ways.
    ///
    /// # Errors
    /// As [`Door::ask`].
    pub fn hijack(&self, path: &str, body: &[u8]) -> Step<Open> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.open(format!("POST {path}"), &head, body)
    }

    fn open(&self, what: String, head: &str, body: &[u8]) -> Step<Open> {
        let mut stream = UnixStream::connect(&self.socket).map_err(|_| Stop::Cut)?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .map_err(|_| Stop::Cut)?;
        stream.write_all(head.as_bytes()).map_err(|_| Stop::Cut)?;
        // A server may refuse a large body before it has read all of it: that is an answer, not a failure.
        let _ = stream.write_all(body);
        let mut open = Open {
            what,
            stream,
            raw: Vec::new(),
            head: 0,
        };
        loop {
            if let Some(end) = find(&open.raw, b"\r\n\r\n") {
                open.head = end + 4;
                return Ok(open);
            }
            if !open.more()? {
                return Err(Stop::Cut);
            }
        }
    }
}

impl Open {
    fn more(&mut self) -> Step<bool> {
        let mut part = [0; 16384];
        match self.stream.read(&mut part) {
            Ok(0) => Ok(false),
            Ok(n) => {
                self.raw.extend_from_slice(&part[..n]);
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => contradiction(format!(
                "no whole answer to {} within {PATIENCE:?}, only {:?}",
                self.what,
                String::from_utf8_lossy(&self.raw)
            )),
            Err(_) => Ok(false),
        }
    }

    /// The answer's status.
    #[must_use]
    pub fn status(&self) -> u16 {
        let head = String::from_utf8_lossy(&self.raw[..self.head]);
        head.split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or(0)
    }

    /// Writes to a connection that was taken over.
    ///
    /// # Errors
    /// If it is gone.
    pub fn write(&mut self, bytes: &[u8]) -> Step {
        self.stream.write_all(bytes).map_err(|_| Stop::Cut)
    }

    /// Reads a taken-over connection until what came (frames and all) contains a text.
    ///
    /// # Errors
    /// If it ends before.
    pub fn until(&mut self, text: &[u8]) -> Step {
        while find(&self.raw[self.head..], text).is_none() {
            if !self.more()? {
                return Err(Stop::Cut);
            }
        }
        Ok(())
    }

    /// Everything of a taken-over connection until its end.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stream(mut self) -> Step<Vec<u8>> {
        while self.more()? {}
        Ok(self.raw.split_off(self.head))
    }

    /// The rest of an ordinary answer.
    ///
    /// # Errors
    /// If it ends before it is whole.
    pub fn rest(mut self) -> Step<Reply> {
        let status = self.status();
        let head = String::from_utf8_lossy(&self.raw[..self.head]).to_ascii_lowercase();
        let chunked = head.contains("transfer-encoding: chunked");
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("content-length:"))
            .and_then(|l| l.trim().parse::<usize>().ok());
        let bodiless = matches!(status, 204 | 304);
        loop {
            let body = &self.raw[self.head..];
            let whole = match (chunked, length) {
                (true, _) => join(body),
                (false, Some(length)) => body.get(..length).map(<[u8]>::to_vec),
                (false, None) => bodiless.then(Vec::new),
            };
            if let Some(body) = whole {
                return Ok(Reply { status, body });
            }
            if !self.more()? {
                break;
            }
        }
        if chunked || length.is_some() {
            return Err(Stop::Cut);
        }
        let body = self.raw.split_off(self.head);
        Ok(Reply { status, body })
    }
}

/// Chunks put together, if the last one is there.
fn join(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = find(chunks, b"\r\n")?;
        let size = std::str::from_utf8(&chunks[..end]).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        chunks = &chunks[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunks.get(..size)?);
        chunks = chunks.get(size + 2..)?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|w| w == wanted)
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn a_body_without_its_last_chunk_is_cut() {
        assert_eq!(join(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap(), b"abcde");
        assert!(join(b"3\r\nabc\r\n2\r\nde\r\n").is_none());
        assert!(join(b"3\r\nab").is_none());
    }
}
