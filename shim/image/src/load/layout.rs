//! OCI image layouts: `index.json` and `blobs/sha256/…` (OCI image specification, "image layout").

use gantry_model::digest::Digest;
use gantry_model::reference::Reference;
use gantry_model::{Error, ErrorKind, Result};

use super::Found;
use super::docker::{Saved, name, names_of};
use super::split::Parts;
use crate::document::{DEPTH, Desc, Document, Index, choose};
use crate::resolve::resolve;
use crate::service::Inner;

/// Full name of an image, as Docker and containerd write it.
const NAME: &str = "io.containerd.image.name";
/// Name or mere tag, as the specification has it.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Reads `index.json`; none if there is none.
pub(super) fn read(parts: &Parts) -> Result<Option<Index>> {
    let Some(data) = parts.document("index.json")? else {
        return Ok(None);
    };
    match Document::parse(&data, "", "index.json of the image archive")? {
        Document::Index(index) => Ok(Some(index)),
        Document::Manifest(_) => Err(Error::invalid(
            "index.json of the image archive is no index",
        )),
    }
}

/// Stores the images of the index. Entries of other platforms are taken along where an index of their own holds them.
pub(super) fn store(
    inner: &Inner,
    parts: &mut Parts,
    index: &Index,
    saved: &[Saved],
) -> Result<Vec<Found>> {
    let runs_here = choose(index);
    let mut found: Vec<Found> = Vec::new();
    for entry in &index.manifests {
        if !runs_here.contains(&entry) {
            continue;
        }
        commit(inner, parts, entry, 0)?;
        let image = match resolve(&inner.content, entry) {
            // An attestation beside the image, or an index for other machines only.
            Err(e) if e.kind == ErrorKind::NotFound && index.manifests.len() > 1 => continue,
            other => {
                other.map_err(|e| e.context(format!("image {} of the archive", entry.digest)))?
            }
        };
        for layer in &image.manifest.layers {
            if inner.content.size(&layer.digest)? != Some(layer.size) {
                return Err(Error::invalid(format!(
                    "image archive lacks the layer {}",
                    layer.digest
                )));
            }
        }
        let mut names = annotated(entry)?;
        for other in names_of(parts, saved, &image.manifest.config.digest)? {
            if !names.contains(&other) {
                names.push(other);
            }
        }
        let target = Desc {
            platform: None,
            annotations: None,
            ..entry.clone()
        };
        match found.iter_mut().find(|f| f.target.digest == target.digest) {
            // One entry for each name, all of one image.
            Some(known) => {
                names.retain(|n| !known.names.contains(n));
                known.names.extend(names);
            }
            None => found.push(Found { names, target }),
        }
    }
    Ok(found)
}

fn annotated(entry: &Desc) -> Result<Vec<String>> {
    let get = |key: &str| entry.annotations.as_ref().and_then(|a| a.get(key));
    if let Some(full) = get(NAME) {
        return Ok(vec![name(full)?]);
    }
    // A mere tag names nothing.
    match get(REF_NAME) {
        Some(text) if text.contains([':', '/']) && Reference::parse(text).is_ok() => {
            Ok(vec![name(text)?])
        }
        _ => Ok(Vec::new()),
    }
}

/// Moves what the descriptor reaches into the store. What is missing may be there already, or be another platform's.
fn commit(inner: &Inner, parts: &mut Parts, desc: &Desc, depth: usize) -> Result<()> {
    if depth > DEPTH {
        return Err(Error::invalid(format!(
            "index {} lies deeper than {DEPTH} indexes",
            desc.digest
        )));
    }
    if !blob(parts, &desc.digest, desc.size)? {
        return Ok(());
    }
    match crate::resolve::read(&inner.content, desc)? {
        Document::Index(index) => index
            .manifests
            .iter()
            .try_for_each(|d| commit(inner, parts, d, depth + 1)),
        Document::Manifest(manifest) => {
            blob(parts, &manifest.config.digest, manifest.config.size)?;
            manifest
                .layers
                .iter()
                .try_for_each(|l| blob(parts, &l.digest, l.size).map(drop))
        }
    }
}

/// Stores one blob of the archive; whether it had it.
fn blob(parts: &mut Parts, digest: &Digest, size: u64) -> Result<bool> {
    let key = format!("blobs/sha256/{}", digest.hex());
    match parts.get(&key) {
        None => Ok(false),
        Some(file) if file.digest() != digest || file.size() != size => {
            let found = format!("{} and {} bytes", file.digest(), file.size());
            Err(Error::data_loss(format!(
                "blob {digest} of {size} bytes in the image archive is in truth {found}"
            )))
        }
        Some(_) => parts.commit(&key).map(|()| true),
    }
}
