//! From a target to the manifest and configuration of the host's platform, out of the content store.

use gantry_model::digest::Digest;
use gantry_model::{Error, ErrorKind, Result};

use crate::content::Content;
use crate::document::{ConfigDocument, DEPTH, Desc, Document, Manifest, choose};

/// An image of one platform.
pub(crate) struct Resolved {
    pub(crate) manifest_desc: Desc,
    pub(crate) manifest: Manifest,
    pub(crate) config: ConfigDocument,
}

/// The host's platform of `target`. Blocks on the file system.
///
/// # Errors
/// `NotFound` if the target, or all that could run here, is not in the store.
pub(crate) fn resolve(content: &Content, target: &Desc) -> Result<Resolved> {
    resolve_at(content, target, 0)
}

fn resolve_at(content: &Content, desc: &Desc, depth: usize) -> Result<Resolved> {
    match read(content, desc)? {
        Document::Manifest(manifest) => {
            let data = content.document(&manifest.config.digest)?;
            let config = ConfigDocument::parse(&data, &manifest.config.digest)?;
            config.check(&manifest)?;
            Ok(Resolved {
                manifest_desc: desc.clone(),
                manifest,
                config,
            })
        }
        Document::Index(_) if depth == DEPTH => Err(Error::invalid(format!(
            "index {} lies deeper than {DEPTH} indexes",
            desc.digest
        ))),
        Document::Index(index) => {
            let mut missing = None;
            for entry in choose(&index) {
                match resolve_at(content, entry, depth + 1) {
                    Err(e) if e.kind == ErrorKind::NotFound => missing = Some(e),
                    other => return other,
                }
            }
            Err(missing.unwrap_or_else(|| no_platform(&desc.digest)))
        }
    }
}

/// What is said when an index has nothing for this host.
pub(crate) fn no_platform(index: &Digest) -> Error {
    let arch = std::env::consts::ARCH;
    Error::not_found(format!(
        "no matching manifest for linux/{arch} in the manifest list entries of {index}"
    ))
}

/// Reads index or manifest out of the store.
pub(crate) fn read(content: &Content, desc: &Desc) -> Result<Document> {
    let data = content.document(&desc.digest)?;
    Document::parse(&data, &desc.media_type, desc.digest.as_str())
}

/// Everything reachable from a target that is in the store: blobs, and the layers (diff ids) of every manifest.
#[derive(Default)]
pub(crate) struct Reachable {
    pub(crate) blobs: Vec<Digest>,
    pub(crate) diff_ids: Vec<Vec<Digest>>,
}

/// Walks the whole target, all platforms. What is missing is passed over, what is malformed leads nowhere.
pub(crate) fn reachable(content: &Content, target: &Desc) -> Reachable {
    let mut found = Reachable::default();
    walk(content, target, 0, &mut found);
    found
}

fn walk(content: &Content, desc: &Desc, depth: usize, found: &mut Reachable) {
    // An index that points to itself, or graphs that fan out, end here.
    if depth > DEPTH || found.blobs.contains(&desc.digest) {
        return;
    }
    found.blobs.push(desc.digest.clone());
    match read(content, desc) {
        Ok(Document::Index(index)) => index
            .manifests
            .iter()
            .for_each(|d| walk(content, d, depth + 1, found)),
        Ok(Document::Manifest(m)) => {
            found
                .blobs
                .extend(m.layers.iter().map(|l| l.digest.clone()));
            let config = content.document(&m.config.digest);
            if let Ok(config) =
                config.and_then(|data| ConfigDocument::parse(&data, &m.config.digest))
            {
                found.diff_ids.push(config.diff_ids().to_vec());
            }
            found.blobs.push(m.config.digest);
        }
        Err(_) => {}
    }
}
