//! Splitting an archive into ingested files, known by their cleaned names.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};

use gantry_files::archive::{Archive, EntryKind};
use gantry_files::{Limits, stream};
use gantry_model::digest::Digest;
use gantry_model::{Error, Result};
use tokio::sync::mpsc::Receiver;

use crate::content::{DOCUMENT, Ingested};
use crate::service::Inner;

/// Files of one archive. Old `docker save` has three a layer.
const FILES: usize = 10_000;
/// Links that are followed from one name.
const LINKS: usize = 8;
const PIECE: usize = 256 << 10;

/// The body of a request, as a blocking reader.
pub(super) struct Body {
    pieces: Receiver<std::result::Result<Vec<u8>, String>>,
    piece: Vec<u8>,
    at: usize,
}

impl Body {
    pub(super) fn new(pieces: Receiver<std::result::Result<Vec<u8>, String>>) -> Self {
        Self {
            pieces,
            piece: Vec::new(),
            at: 0,
        }
    }
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.piece.len() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => (self.piece, self.at) = (piece, 0),
                Some(Err(why)) => return Err(std::io::Error::new(ErrorKind::UnexpectedEof, why)),
            }
        }
        let n = buf.len().min(self.piece.len() - self.at);
        buf[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// What an archive held. What is not committed goes when this does.
#[derive(Default)]
pub(super) struct Parts {
    files: HashMap<String, Ingested>,
    links: HashMap<String, String>,
}

/// Splits the archive; it may be compressed as a whole.
pub(super) fn split(inner: &Inner, body: Body) -> Result<Parts> {
    let limits = Limits {
        bytes: inner.config.load_limit,
        ..Limits::default()
    };
    // Our own errors come back by this way: the archive reader knows only its own.
    let mut ours = None;
    let done = stream::decode(
        body,
        &limits,
        |_| Ok(()),
        |chunks| {
            let mut archive = Archive::new(chunks, &limits);
            let parts = fill(inner, &mut archive, &mut ours)?;
            archive.finish()?;
            Ok(parts)
        },
    );
    match (ours, done) {
        (Some(e), _) => Err(e),
        (None, Ok((parts, _))) => Ok(parts),
        (None, Err(e)) => Err(refuse(&e)),
    }
}

fn refuse(e: &gantry_files::Error) -> Error {
    use gantry_files::error::Kind;
    let text = format!("read image archive: {e}");
    match e.kind() {
        Kind::Limit | Kind::NoSpace => Error::exhausted(text),
        Kind::Archive => Error::invalid(text),
        _ => Error::internal(text),
    }
}

fn fill<R: Read>(
    inner: &Inner,
    archive: &mut Archive<'_, R>,
    ours: &mut Option<Error>,
) -> gantry_files::Result<Parts> {
    let mut parts = Parts::default();
    let mut buf = vec![0; PIECE];
    while let Some(entry) = archive.next_entry()? {
        if parts.files.len() + parts.links.len() >= FILES {
            return Err(gantry_files::Error::Limit(format!(
                "image archive of more than {FILES} files"
            )));
        }
        let Some(name) = std::str::from_utf8(&entry.path)
            .ok()
            .and_then(|name| clean("", name))
        else {
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            return Err(gantry_files::Error::Archive(format!(
                "image archive with a name {name:?}"
            )));
        };
        let link = || std::str::from_utf8(&entry.link).unwrap_or("");
        match entry.kind {
            EntryKind::File if entry.segments.is_none() => match ingest(inner, archive, &mut buf) {
                Ok(file) => drop(parts.files.insert(name, file)),
                Err(Failed::Read(e)) => return Err(e),
                Err(Failed::Ours(e)) => {
                    *ours = Some(e);
                    return Err(gantry_files::Error::Request(
                        "the content store failed".into(),
                    ));
                }
            },
            EntryKind::Symlink => {
                let dir = name.rsplit_once('/').map_or("", |(dir, _)| dir);
                if let Some(target) = clean(dir, link()) {
                    parts.links.insert(name, target);
                }
            }
            EntryKind::Hardlink => {
                if let Some(target) = clean("", link()) {
                    parts.links.insert(name, target);
                }
            }
            EntryKind::Dir => {}
            _ => {
                return Err(gantry_files::Error::Archive(format!(
                    "image archive with a special file {name:?}"
                )));
            }
        }
    }
    Ok(parts)
}

enum Failed {
    Read(gantry_files::Error),
    Ours(Error),
}

fn ingest<R: Read>(
    inner: &Inner,
    archive: &mut Archive<'_, R>,
    buf: &mut [u8],
) -> std::result::Result<Ingested, Failed> {
    let mut ingest = inner.content.ingest().map_err(Failed::Ours)?;
    loop {
        let read = archive
            .read(buf)
            .map_err(|e| match e.downcast::<gantry_files::Error>() {
                Ok(own) => Failed::Read(own),
                Err(e) => Failed::Read(gantry_files::Error::Archive(e.to_string())),
            })?;
        if read == 0 {
            return ingest.finish().map_err(Failed::Ours);
        }
        ingest.write(&buf[..read]).map_err(Failed::Ours)?;
    }
}

/// A name beneath the archive's root, in one form; none if it leads out. Names are keys here, never paths.
pub(super) fn clean(dir: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = if name.starts_with('/') {
        Vec::new()
    } else {
        dir.split('/').collect()
    };
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    parts.retain(|p| !p.is_empty());
    Some(parts.join("/"))
}

impl Parts {
    fn file_name<'p>(&'p self, name: &'p str) -> Option<&'p str> {
        let mut name = name;
        for _ in 0..=LINKS {
            if self.files.contains_key(name) {
                return Some(name);
            }
            name = self.links.get(name)?;
        }
        None
    }

    /// The file of this name, links followed.
    pub(super) fn get(&self, name: &str) -> Option<&Ingested> {
        self.files.get(self.file_name(name)?)
    }

    /// The content of a small file.
    ///
    /// # Errors
    /// `InvalidArgument` if it is too large.
    pub(super) fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.get(name) else {
            return Ok(None);
        };
        if file.size() > DOCUMENT {
            return Err(Error::invalid(format!(
                "{name} of the image archive is larger than {DOCUMENT} bytes"
            )));
        }
        std::fs::read(file.path())
            .map(Some)
            .map_err(|e| crate::content::io("read", file.path(), &e))
    }

    /// First bytes of a file.
    pub(super) fn magic(&self, name: &str) -> Vec<u8> {
        let mut magic = Vec::new();
        if let Some(file) = self
            .get(name)
            .and_then(|f| std::fs::File::open(f.path()).ok())
        {
            // Unreadable is told when the file is stored.
            let _ = file.take(4).read_to_end(&mut magic);
        }
        magic
    }

    /// Moves a file into the store. Several names of one file are one blob.
    pub(super) fn commit(&mut self, name: &str) -> Result<()> {
        let Some(name) = self.file_name(name).map(str::to_owned) else {
            return Ok(());
        };
        match self.files.remove(&name) {
            Some(file) => file.commit(),
            None => Ok(()),
        }
    }

    /// Digests of all files.
    pub(super) fn digests(&self) -> Vec<Digest> {
        self.files.values().map(|f| f.digest().clone()).collect()
    }
}
