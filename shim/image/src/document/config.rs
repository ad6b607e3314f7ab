//! The configuration of an image. Attacker's input: it is carried along and decides nothing here.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::digest::Digest;
use gantry_model::image::{ImageConfig, ImageDetails};
use gantry_model::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

use super::manifest::{Desc, Manifest};
use crate::content::sha256;

/// A configuration as far as Gantry reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigDocument {
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    config: Option<Run>,
    rootfs: Rootfs,
    #[serde(default)]
    history: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Rootfs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

/// Absent, null and empty mean the same here; writers use all three.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Run {
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, Value>>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    volumes: Option<BTreeMap<String, Value>>,
    working_dir: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
    shell: Option<Vec<String>>,
    healthcheck: Option<Value>,
}

impl ConfigDocument {
    /// Reads a configuration.
    ///
    /// # Errors
    /// `InvalidArgument` if it is malformed.
    pub(crate) fn parse(data: &[u8], what: &Digest) -> Result<Self> {
        serde_json::from_slice(data)
            .map_err(|e| Error::invalid(format!("image configuration {what}: {e}")))
    }

    /// Digests of the uncompressed layers, bottom first.
    pub(crate) fn diff_ids(&self) -> &[Digest] {
        self.rootfs.diff_ids.as_deref().unwrap_or_default()
    }

    /// # Errors
    /// `InvalidArgument` unless there is one diff id for each layer.
    pub(crate) fn check(&self, manifest: &Manifest) -> Result<()> {
        let (ids, layers) = (self.diff_ids().len(), manifest.layers.len());
        if ids == layers {
            return Ok(());
        }
        let config = &manifest.config.digest;
        Err(Error::invalid(format!(
            "image configuration {config} has {ids} layers, its manifest {layers}"
        )))
    }
}

/// Chain id of every layer with all below it (OCI image specification, "layer chain id").
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff in diff_ids {
        let next = match chain.last() {
            None => diff.clone(),
            Some(parent) => sha256(format!("{parent} {diff}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

/// Everything the engine wants to know.
pub(crate) fn details(
    target: &Desc,
    manifest_desc: &Desc,
    manifest: &Manifest,
    doc: ConfigDocument,
    unpacked_size: u64,
) -> ImageDetails {
    let diff_ids = doc.diff_ids().to_vec();
    let run = doc.config.unwrap_or_default();
    let keys = |map: Option<BTreeMap<String, Value>>| {
        map.unwrap_or_default().into_keys().collect::<BTreeSet<_>>()
    };
    let layers: u64 = manifest
        .layers
        .iter()
        .map(|l| l.size)
        .fold(0, u64::saturating_add);
    ImageDetails {
        target: target.public(),
        manifest: manifest_desc.public(),
        config_digest: manifest.config.digest.to_string(),
        architecture: doc.architecture.unwrap_or_default(),
        os: doc.os.unwrap_or_default(),
        variant: doc.variant.unwrap_or_default(),
        created: doc.created.unwrap_or_default(),
        author: doc.author.unwrap_or_default(),
        chain_id: chain_ids(&diff_ids)
            .last()
            .map(ToString::to_string)
            .unwrap_or_default(),
        diff_ids: diff_ids.iter().map(ToString::to_string).collect(),
        content_size: layers
            .saturating_add(manifest.config.size)
            .saturating_add(manifest_desc.size),
        unpacked_size,
        config: ImageConfig {
            user: run.user.unwrap_or_default(),
            exposed_ports: keys(run.exposed_ports),
            env: run.env.unwrap_or_default(),
            entrypoint: run.entrypoint.filter(|e| !e.is_empty()),
            cmd: run.cmd.filter(|c| !c.is_empty()),
            volumes: keys(run.volumes),
            working_dir: run.working_dir.unwrap_or_default(),
            labels: run.labels.unwrap_or_default(),
            stop_signal: run.stop_signal.unwrap_or_default(),
            shell: run.shell.unwrap_or_default(),
            healthcheck: run
                .healthcheck
                .filter(|h| !h.is_null())
                .map(|h| h.to_string())
                .unwrap_or_default(),
        },
        history: doc
            .history
            .filter(Value::is_array)
            .map(|h| h.to_string())
            .unwrap_or_default(),
    }
}
