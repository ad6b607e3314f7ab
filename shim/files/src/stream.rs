//! A layer's bytes: read once, hashed before and after decompression, decompressed on a thread of its own.
//!
//! Making the files is the slow part of an unpack; reading, inflating and hashing hide behind it.

use std::io::{BufReader, Chain, Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::limits::Limits;

/// Size of a piece handed from thread to thread.
const CHUNK: usize = 256 << 10;
/// Pieces that may wait.
const WAITING: usize = 8;
/// Time between two calls of the progress function.
const TICK: Duration = Duration::from_millis(100);

/// What a stream turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// sha256 of the bytes read, `sha256:…`.
    pub digest: String,
    /// Bytes read.
    pub size: u64,
    /// sha256 of the decompressed bytes.
    pub diff_id: String,
    /// Decompressed bytes.
    pub diff_size: u64,
}

/// Lets `consume` read the decompressed bytes of `input` (gzip, zstd or plain, told by its first bytes). `consume` must
/// read to the end, otherwise the sums are not those of the whole. `progress` gets the bytes of `input` read so far, on
/// the caller's thread, at most every tenth of a second; its error ends the work.
///
/// # Errors
/// What `consume` answers; kind `archive` for damaged data, `limit` for too much of it.
pub fn decode<T>(
    input: impl Read + Send,
    limits: &Limits,
    mut progress: impl FnMut(u64) -> Result<()>,
    consume: impl FnOnce(&mut Chunks<'_>) -> Result<T>,
) -> Result<(T, Sums)> {
    let read = AtomicU64::new(0);
    let (full_in, full) = sync_channel(WAITING);
    let (empty, empty_out) = channel();
    std::thread::scope(|scope| {
        let count = &read;
        let decoder = scope.spawn(move || decoder(input, limits, count, &full_in, &empty_out));
        let mut chunks = Chunks {
            full,
            empty,
            chunk: Vec::new(),
            at: 0,
            read: count,
            progress: &mut progress,
            ticked: Instant::now(),
        };
        let result = consume(&mut chunks);
        // Without a receiver the decoder stops at its next piece.
        drop(chunks);
        let sums = decoder
            .join()
            .map_err(|_| Error::io("decompress", std::io::Error::other("decoder panicked")))?;
        // The decoder's own error came to `consume` through the chunks.
        let result = result?;
        Ok((
            result,
            sums.ok_or_else(|| Error::Archive("the stream was not read to its end".into()))?,
        ))
    })
}

/// The decompressed bytes.
pub struct Chunks<'a> {
    full: Receiver<Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    read: &'a AtomicU64,
    progress: &'a mut dyn FnMut(u64) -> Result<()>,
    ticked: Instant,
}

impl Read for Chunks<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.chunk.len() && !self.refill()? {
            return Ok(0);
        }
        let n = buf.len().min(self.chunk.len() - self.at);
        buf[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Chunks<'_> {
    fn refill(&mut self) -> std::io::Result<bool> {
        if self.ticked.elapsed() >= TICK {
            self.ticked = Instant::now();
            (self.progress)(self.read.load(Ordering::Relaxed)).map_err(std::io::Error::other)?;
        }
        let used = std::mem::take(&mut self.chunk);
        self.at = 0;
        if used.capacity() > 0 {
            // The decoder may be done already and want no more buffers.
            let _ = self.empty.send(used);
        }
        match self.full.recv() {
            Ok(Ok(chunk)) => {
                self.chunk = chunk;
                Ok(true)
            }
            Ok(Err(e)) => Err(std::io::Error::other(e)),
            Err(_) => Ok(false),
        }
    }
}

fn decoder(
    input: impl Read,
    limits: &Limits,
    count: &AtomicU64,
    full: &SyncSender<Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) -> Option<Sums> {
    match decode_all(input, limits, count, full, empty) {
        Ok(sums) => sums,
        Err(e) => {
            // Nobody listens any more if the consumer failed first.
            let _ = full.send(Err(e));
            None
        }
    }
}

/// The sums; none if nobody wants the bytes any more.
fn decode_all(
    input: impl Read,
    limits: &Limits,
    count: &AtomicU64,
    full: &SyncSender<Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) -> Result<Option<Sums>> {
    let mut source = Hashing {
        inner: input,
        sum: Some(Sha256::new()),
        count,
    };
    let (magic, kind) = sniff(&mut source)?;
    if kind == Kind::Plain {
        // The same bytes before and after: one sum says both.
        source.sum = None;
    }
    let mut plain = open(&mut source, magic, kind)?;
    let mut sum = Sha256::new();
    let mut total = 0u64;
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let len = fill(&mut plain, &mut chunk)?;
        if len == 0 {
            break;
        }
        chunk.truncate(len);
        total += len as u64;
        check(total, count.load(Ordering::Relaxed), limits)?;
        sum.update(&chunk);
        if full.send(Ok(chunk)).is_err() {
            return Ok(None);
        }
    }
    drop(plain);
    // A decoder may stop before the last bytes of its input; they belong to the digest.
    std::io::copy(&mut source, &mut std::io::sink())
        .map_err(|e| Error::from_read("read layer", e))?;
    let diff_id = hex(sum);
    Ok(Some(Sums {
        digest: source.sum.map_or_else(|| diff_id.clone(), hex),
        size: count.load(Ordering::Relaxed),
        diff_id,
        diff_size: total,
    }))
}

fn check(out: u64, read: u64, limits: &Limits) -> Result<()> {
    if out > limits.bytes {
        return Err(Error::Limit(format!(
            "more than {} bytes after decompression",
            limits.bytes
        )));
    }
    if out > limits.ratio_after && out / limits.ratio > read {
        return Err(Error::Limit(format!(
            "{read} bytes decompress to more than {} times as many",
            limits.ratio
        )));
    }
    Ok(())
}

type Source<'s, R> = BufReader<Chain<Cursor<Vec<u8>>, &'s mut R>>;

enum Plain<'s, R: Read> {
    As(Source<'s, R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Source<'s, R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Source<'s, R>>),
}

impl<R: Read> Read for Plain<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::As(r) => r.read(buf),
            Self::Gzip(r) => r.read(buf),
            Self::Zstd(r) => r.read(buf),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zstd,
}

/// The first bytes, and what they say.
fn sniff<R: Read>(source: &mut R) -> Result<(Vec<u8>, Kind)> {
    let mut magic = vec![0; 4];
    let len = fill(source, &mut magic)?;
    magic.truncate(len);
    let kind = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Kind::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Kind::Zstd,
        _ => Kind::Plain,
    };
    Ok((magic, kind))
}

fn open<R: Read>(source: &mut R, magic: Vec<u8>, kind: Kind) -> Result<Plain<'_, R>> {
    let reader = BufReader::with_capacity(CHUNK, Cursor::new(magic).chain(source));
    Ok(match kind {
        Kind::Plain => Plain::As(reader),
        Kind::Gzip => Plain::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(reader))),
        Kind::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(reader);
            Plain::Zstd(decoder.map_err(|e| Error::io("start zstd", e))?)
        }
    })
}

fn fill<R: Read>(reader: &mut R, buf: &mut [u8]) -> Result<usize> {
    let mut at = 0;
    while at < buf.len() {
        match reader.read(&mut buf[at..]) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::from_read("decompress layer", e)),
        }
    }
    Ok(at)
}

struct Hashing<'a, R> {
    inner: R,
    sum: Option<Sha256>,
    count: &'a AtomicU64,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        if let Some(sum) = &mut self.sum {
            sum.update(&buf[..n]);
        }
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

fn hex(sum: Sha256) -> String {
    use std::fmt::Write;
    let mut s = String::from("sha256:");
    for b in sum.finalize() {
        write!(s, "{b:02x}").expect("a String takes everything");
    }
    s
}
