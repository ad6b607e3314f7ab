//! What the tests of this crate share: a snapshotter in memory, archives built in memory, a service on both. No root.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gantry_model::call::{Call, Cancel};
use gantry_model::digest::Digest;
use gantry_model::driver::{
    Drivers, NetworkDriver, SnapshotInfo, SnapshotKind, Snapshotter, Usage, VolumeDriver,
};
use gantry_model::image::{ByteStream, Progress, ProgressSink, stream};
use gantry_model::mount::MountDescription;
use gantry_model::plugin::{PluginInfo, PluginKind};
use gantry_model::{Error, OperationId, Result, Timestamp};

use crate::content::sha256;
use crate::{Config, Images};

/// A call that ends in a minute.
pub(crate) fn call() -> Call {
    Call {
        operation: OperationId::from_random([1; 32]),
        timeout: Duration::from_secs(60),
        cancel: Cancel::default(),
    }
}

/// Snapshots by key. Keys that hold `fail` get mounts the fake helper fails on.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<BTreeMap<String, SnapshotInfo>>);

impl Memory {
    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn put(&self, key: &str, kind: SnapshotKind, parent: Option<&str>) {
        let parent = parent.map(str::to_owned);
        let info = SnapshotInfo {
            key: key.to_owned(),
            kind,
            parent,
            created_at: Timestamp(0),
        };
        self.0.lock().unwrap().insert(key.to_owned(), info);
    }
}

#[async_trait]
impl Snapshotter for Memory {
    async fn prepare(
        &self,
        call: &Call,
        key: &str,
        parent: Option<&str>,
    ) -> Result<Vec<MountDescription>> {
        if let Some(parent) = parent {
            assert_eq!(self.stat(call, parent).await?.kind, SnapshotKind::Committed);
        }
        self.put(key, SnapshotKind::Active, parent);
        Ok(vec![MountDescription {
            kind: "bind".into(),
            source: "/".into(),
            ..MountDescription::default()
        }])
    }

    async fn view(&self, _: &Call, _: &str, _: &str) -> Result<Vec<MountDescription>> {
        Err(Error::unimplemented("view"))
    }

    async fn commit(&self, _: &Call, key: &str, name: &str) -> Result<()> {
        let mut map = self.0.lock().unwrap();
        let mut info = map.remove(key).ok_or_else(|| Error::not_found(key))?;
        (info.key, info.kind) = (name.to_owned(), SnapshotKind::Committed);
        map.insert(name.to_owned(), info);
        Ok(())
    }

    async fn mounts(&self, _: &Call, _: &str) -> Result<Vec<MountDescription>> {
        Err(Error::unimplemented("mounts"))
    }

    async fn remove(&self, _: &Call, key: &str) -> Result<()> {
        let mut map = self.0.lock().unwrap();
        if map.values().any(|s| s.parent.as_deref() == Some(key)) {
            return Err(Error::conflict(key));
        }
        map.remove(key);
        Ok(())
    }

    async fn stat(&self, _: &Call, key: &str) -> Result<SnapshotInfo> {
        self.0
            .lock()
            .unwrap()
            .get(key)
            .cloned()
            .ok_or_else(|| Error::not_found(key))
    }

    async fn list(&self, _: &Call) -> Result<Vec<SnapshotInfo>> {
        Ok(self.0.lock().unwrap().values().cloned().collect())
    }

    async fn usage(&self, _: &Call, _: &str) -> Result<Usage> {
        Ok(Usage::default())
    }

    async fn cleanup(&self, _: &Call) -> Result<()> {
        Ok(())
    }
}

/// One snapshotter, `memory`.
pub(crate) struct OneDriver(pub(crate) Arc<Memory>);

impl Drivers for OneDriver {
    fn snapshotter(&self, name: &str) -> Result<Arc<dyn Snapshotter>> {
        if name == "memory" {
            Ok(self.0.clone())
        } else {
            Err(Error::not_found(name))
        }
    }

    fn network(&self, name: &str) -> Result<Arc<dyn NetworkDriver>> {
        Err(Error::not_found(name))
    }

    fn volume(&self, name: &str) -> Result<Arc<dyn VolumeDriver>> {
        Err(Error::not_found(name))
    }

    fn list(&self) -> Vec<PluginInfo> {
        vec![PluginInfo::new(PluginKind::Snapshotter, "memory")]
    }
}

/// A service on a folder of its own.
pub(crate) struct Service {
    pub(crate) images: Images,
    pub(crate) snapshots: Arc<Memory>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) told: Arc<Mutex<Vec<Progress>>>,
}

impl Service {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let helper = concat!(env!("CARGO_MANIFEST_DIR"), "/src/service/fake-helper.sh");
        let config = Config::new(dir.path().join("content"), helper.into());
        let snapshots = Arc::new(Memory::default());
        let images = Images::open(config, Arc::new(OneDriver(Arc::clone(&snapshots)))).unwrap();
        Self {
            images,
            snapshots,
            dir,
            told: Arc::default(),
        }
    }

    pub(crate) fn sink(&self) -> ProgressSink {
        let told = Arc::clone(&self.told);
        Arc::new(move |p| told.lock().unwrap().push(p))
    }

    /// Names of the stored blobs.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(self.dir.path().join("content/blobs/sha256"))
                .unwrap()
                .map(|e| format!("sha256:{}", e.unwrap().file_name().to_str().unwrap()))
                .collect();
        names.sort();
        names
    }

    /// Nothing half-written is left.
    pub(crate) fn assert_no_leftovers(&self) {
        assert_eq!(
            std::fs::read_dir(self.dir.path().join("content/ingest"))
                .unwrap()
                .count(),
            0
        );
        assert!(
            !self
                .snapshots
                .keys()
                .iter()
                .any(|k| k.starts_with("extract-")),
            "{:?}",
            self.snapshots.keys()
        );
    }
}

/// A small image, all its documents.
pub(crate) struct Image {
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    /// With one layer for each text.
    pub(crate) fn new(texts: &[&str]) -> Self {
        Self::for_platform(texts, crate::document::architecture())
    }

    pub(crate) fn for_platform(texts: &[&str], arch: &str) -> Self {
        let layers: Vec<Vec<u8>> = texts
            .iter()
            .map(|t| tar(&[("file", t.as_bytes())]))
            .collect();
        let ids: Vec<String> = layers.iter().map(|l| sha256(l).to_string()).collect();
        let config = serde_json::json!({"architecture": arch, "os": "linux", "created": "2026-01-02T03:04:05Z",
            "config": {"Cmd": ["/bin/true"], "Env": ["A=b"]}, "rootfs": {"type": "layers", "diff_ids": ids}});
        let config = serde_json::to_vec(&config).unwrap();
        let layer = |l: &Vec<u8>| {
            serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": sha256(l).to_string(), "size": l.len()})
        };
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": crate::document::MANIFEST_OCI,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(&config).to_string(),
            "size": config.len()}, "layers": layers.iter().map(layer).collect::<Vec<_>>()});
        Self {
            layers,
            config,
            manifest: serde_json::to_vec(&manifest).unwrap(),
        }
    }

    pub(crate) fn target(&self) -> Digest {
        sha256(&self.manifest)
    }

    /// Everything but the manifest, by name in a layout.
    pub(crate) fn blobs(&self) -> Vec<(String, Vec<u8>)> {
        self.layers
            .iter()
            .chain([&self.config, &self.manifest])
            .map(|b| (blob_path(b), b.clone()))
            .collect()
    }

    /// A descriptor for an index.
    pub(crate) fn entry(&self, extra: serde_json::Value) -> serde_json::Value {
        let mut entry = serde_json::json!({"mediaType": crate::document::MANIFEST_OCI,
            "digest": self.target().to_string(), "size": self.manifest.len()});
        for (key, value) in extra.as_object().unwrap() {
            entry[key] = value.clone();
        }
        entry
    }
}

pub(crate) fn blob_path(data: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(data).hex())
}

/// A tar archive of these files.
pub(crate) fn tar<N: AsRef<str>, D: AsRef<[u8]>>(files: &[(N, D)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.as_ref().len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name.as_ref(), data.as_ref())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

struct Pieces(std::vec::IntoIter<std::result::Result<Vec<u8>, String>>);

#[async_trait]
impl stream::ByteRead for Pieces {
    async fn next(&mut self) -> Option<std::result::Result<Vec<u8>, String>> {
        self.0.next()
    }
}

/// A body that arrives in pieces.
pub(crate) fn body(data: &[u8]) -> ByteStream {
    let pieces: Vec<_> = data.chunks(1000).map(|c| Ok(c.to_vec())).collect();
    Box::pin(Pieces(pieces.into_iter()))
}

/// A body whose sender goes away.
pub(crate) fn cut_body(data: &[u8]) -> ByteStream {
    let pieces = vec![Ok(data.to_vec()), Err("connection reset".to_owned())];
    Box::pin(Pieces(pieces.into_iter()))
}
