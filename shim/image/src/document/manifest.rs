//! Index and manifest. A document that could be read as both is refused (CVE-2021-41190).

use std::collections::BTreeMap;

use gantry_model::digest::Digest;
use gantry_model::image::Descriptor;
use gantry_model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::media::{MANIFEST_OCI, is_index, is_layer, is_manifest};
use crate::content::DOCUMENT;

/// Entries of an index, layers of a manifest.
const ENTRIES: usize = 1000;

/// A descriptor as documents have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Desc {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// What an entry of an index is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

impl Desc {
    /// For the engine.
    pub(crate) fn public(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.to_string(),
            size: self.size,
        }
    }

    /// From the engine.
    pub(crate) fn of(target: &Descriptor) -> Result<Self> {
        let digest = target
            .digest
            .parse()
            .map_err(|e| Error::invalid(format!("image target: {e}")))?;
        let media_type = target.media_type.clone();
        Ok(Self {
            media_type,
            digest,
            size: target.size,
            platform: None,
            annotations: None,
        })
    }
}

/// An index.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Desc>,
}

/// A manifest.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Desc,
    pub(crate) layers: Vec<Desc>,
}

/// One or the other.
#[derive(Clone, Debug)]
pub(crate) enum Document {
    Index(Index),
    Manifest(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Desc>,
    layers: Option<Vec<Desc>>,
    manifests: Option<Vec<Desc>>,
    fs_layers: Option<serde_json::Value>,
}

impl Document {
    /// Reads a document that was announced as `media_type` (empty: not announced).
    ///
    /// # Errors
    /// `InvalidArgument` for what is malformed, too large, or ambiguous.
    pub(crate) fn parse(data: &[u8], media_type: &str, what: &str) -> Result<Self> {
        let bad = |why: String| Error::invalid(format!("manifest {what}: {why}"));
        if data.len() as u64 > DOCUMENT {
            return Err(bad(format!("larger than {DOCUMENT} bytes")));
        }
        let raw: Raw = serde_json::from_slice(data).map_err(|e| bad(e.to_string()))?;
        if raw.fs_layers.is_some() || raw.schema_version == 1 {
            return Err(bad("schema version 1 is too old to be read".into()));
        }
        let said = raw.media_type.as_deref().unwrap_or("");
        if !said.is_empty() && !media_type.is_empty() && said != media_type {
            return Err(bad(format!(
                "says it is {said:?} and was announced as {media_type:?}"
            )));
        }
        let kind = if said.is_empty() { media_type } else { said };
        let known = kind.is_empty() || is_index(kind) || is_manifest(kind);
        match (raw.config, raw.layers, raw.manifests) {
            _ if !known => Err(bad(format!("unknown media type {kind:?}"))),
            (None, None, Some(manifests)) if !is_manifest(kind) => {
                Index::new(manifests).map(Self::Index).map_err(bad)
            }
            (Some(config), Some(layers), None) if !is_index(kind) => Manifest::new(config, layers)
                .map(Self::Manifest)
                .map_err(bad),
            _ => Err(bad("neither clearly an index nor clearly a manifest".into())),
        }
    }
}

impl Index {
    fn new(manifests: Vec<Desc>) -> std::result::Result<Self, String> {
        if manifests.len() > ENTRIES {
            return Err(format!("index of more than {ENTRIES} entries"));
        }
        Ok(Self { manifests })
    }
}

impl Manifest {
    fn new(config: Desc, layers: Vec<Desc>) -> std::result::Result<Self, String> {
        if layers.len() > ENTRIES {
            return Err(format!("manifest of more than {ENTRIES} layers"));
        }
        if config.size > DOCUMENT {
            return Err(format!("configuration larger than {DOCUMENT} bytes"));
        }
        match layers.iter().find(|l| !is_layer(&l.media_type)) {
            Some(other) => Err(format!(
                "no container image: layer of type {:?}",
                other.media_type
            )),
            None => Ok(Self { config, layers }),
        }
    }

    /// The bytes of an OCI manifest of these parts: always the same for the same parts.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Out<'a> {
            schema_version: u32,
            media_type: &'static str,
            config: &'a Desc,
            layers: &'a [Desc],
        }
        let out = Out {
            schema_version: 2,
            media_type: MANIFEST_OCI,
            config: &self.config,
            layers: &self.layers,
        };
        serde_json::to_vec(&out).expect("strings and numbers always become JSON")
    }
}
