//! `docker save` without an OCI index: `manifest.json`, configurations and uncompressed layers. An OCI manifest is
//! made from it, always the same one, so that the image has a target digest like any other.

use gantry_model::digest::Digest;
use gantry_model::reference::Reference;
use gantry_model::{Error, Result};
use serde::Deserialize;

use super::Found;
use super::split::{Parts, clean};
use crate::content::Ingested;
use crate::document::{ConfigDocument, Desc, MANIFEST_OCI, Manifest, layer_for};
use crate::service::Inner;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Images in one archive, names of one image.
const MANY: usize = 1000;

/// An entry of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// Reads `manifest.json`; empty if there is none.
pub(super) fn read(parts: &Parts) -> Result<Vec<Saved>> {
    let Some(data) = parts.document("manifest.json")? else {
        return Ok(Vec::new());
    };
    let saved: Vec<Saved> = serde_json::from_slice(&data)
        .map_err(|e| Error::invalid(format!("manifest.json of the image archive: {e}")))?;
    if saved.len() > MANY
        || saved
            .iter()
            .any(|s| s.repo_tags.as_ref().is_some_and(|t| t.len() > MANY))
    {
        return Err(Error::invalid(format!(
            "manifest.json of the image archive has more than {MANY} entries"
        )));
    }
    Ok(saved)
}

/// Names the archive gives to the image with this configuration.
pub(super) fn names_of(parts: &Parts, saved: &[Saved], config: &Digest) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for image in saved {
        let file = clean("", &image.config)
            .and_then(|name| parts.get(&name).map(Ingested::digest).cloned());
        // Once its blob is stored, the file is known by its name only.
        let named = image
            .config
            .strip_prefix("blobs/sha256/")
            .and_then(|hex| Digest::from_hex(hex).ok());
        if file.or(named).as_ref() == Some(config) {
            names.extend(image.names()?);
        }
    }
    Ok(names)
}

impl Saved {
    fn names(&self) -> Result<Vec<String>> {
        self.repo_tags
            .iter()
            .flatten()
            .map(|tag| name(tag))
            .collect()
    }
}

/// A name of the archive in its complete form.
pub(super) fn name(text: &str) -> Result<String> {
    match Reference::parse_tagged(text) {
        Ok(reference) => Ok(reference.to_string()),
        Err(e) => Err(Error::invalid(format!(
            "name {text:?} in the image archive: {e}"
        ))),
    }
}

/// Stores the images.
pub(super) fn store(inner: &Inner, parts: &mut Parts, saved: &[Saved]) -> Result<Vec<Found>> {
    // Describe everything before the first file moves: images share files.
    let images: Vec<(Vec<String>, Manifest, Vec<String>)> = saved
        .iter()
        .map(|image| describe(parts, image))
        .collect::<Result<_>>()?;
    let mut found = Vec::with_capacity(images.len());
    for (names, manifest, files) in images {
        for file in files {
            parts.commit(&file)?;
        }
        let bytes = manifest.to_bytes();
        let digest = inner.content.put(&bytes)?;
        let target = Desc {
            media_type: MANIFEST_OCI.to_owned(),
            digest,
            size: bytes.len() as u64,
            platform: None,
            annotations: None,
        };
        found.push(Found { names, target });
    }
    Ok(found)
}

fn describe(parts: &Parts, image: &Saved) -> Result<(Vec<String>, Manifest, Vec<String>)> {
    let lacks = |name: &str| Error::invalid(format!("image archive lacks the file {name:?}"));
    let part = |name: &str| -> Result<(String, Digest, u64)> {
        let key = clean("", name).ok_or_else(|| lacks(name))?;
        let file = parts.get(&key).ok_or_else(|| lacks(name))?;
        // Content-addressed names must tell the truth; old archives name layers by ids that say nothing.
        let promised = key
            .strip_prefix("blobs/sha256/")
            .or_else(|| key.strip_suffix(".json"));
        if promised
            .and_then(|hex| Digest::from_hex(hex).ok())
            .is_some_and(|digest| digest != *file.digest())
        {
            return Err(Error::data_loss(format!(
                "file {name:?} of the image archive has the digest {}",
                file.digest()
            )));
        }
        let (digest, size) = (file.digest().clone(), file.size());
        Ok((key, digest, size))
    };
    let (config_name, digest, size) = part(&image.config)?;
    let document = parts
        .document(&config_name)?
        .ok_or_else(|| lacks(&config_name))?;
    let config = Desc {
        media_type: CONFIG.to_owned(),
        digest,
        size,
        platform: None,
        annotations: None,
    };
    let mut files = vec![config_name];
    let mut layers = Vec::new();
    for layer in image.layers.iter().flatten() {
        let (name, digest, size) = part(layer)?;
        let media_type = layer_for(&parts.magic(&name)).to_owned();
        layers.push(Desc {
            media_type,
            digest,
            size,
            platform: None,
            annotations: None,
        });
        files.push(name);
    }
    let manifest = Manifest { config, layers };
    ConfigDocument::parse(&document, &manifest.config.digest)?.check(&manifest)?;
    Ok((image.names()?, manifest, files))
}
