//! Pulling: documents first, then layers in parallel, each blob once at a time, then unpacking.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use gantry_model::call::Call;
use gantry_model::digest::Digest;
use gantry_model::image::{Progress, ProgressSink, RegistryAuth};
use gantry_model::reference::{DEFAULT_TAG, Reference};
use gantry_model::{Error, ErrorKind, Result};
use tracing::Instrument;

use crate::content::sha256;
use crate::document::{
    ConfigDocument, DEPTH, Desc, Document, INDEX_OCI, MANIFEST_OCI, Manifest, choose,
};
use crate::flight::Lease;
use crate::registry::{Fetched, Repository};
use crate::resolve::no_platform;
use crate::service::{Inner, bounded};

/// Tries of one blob when the registry breaks off.
const TRIES: usize = 3;
/// Bytes between two lines of progress.
const STEP: u64 = 512 << 10;

struct Pull<'a> {
    inner: &'a Arc<Inner>,
    repository: Repository,
    lease: &'a Lease,
    progress: &'a ProgressSink,
}

pub(crate) async fn pull(
    inner: &Arc<Inner>,
    call: &Call,
    reference: &str,
    auth: Option<&RegistryAuth>,
    snapshotter: &str,
    lease: &Lease,
    progress: &ProgressSink,
) -> Result<Desc> {
    let name = Reference::parse_tagged(reference).map_err(|e| Error::invalid(e.to_string()))?;
    let repository = Repository::new(&name, auth, &inner.config.plain_http)?;
    let progress = &quiet_about_known(progress);
    let pull = Pull {
        inner,
        repository,
        lease,
        progress,
    };
    let target = bounded(
        call,
        &format!("pull of {}", name.familiar()),
        pull.content(&name),
    )
    .await?;
    inner
        .unpacked(call, &target, snapshotter, lease, progress)
        .await?;
    Ok(target)
}

impl Pull<'_> {
    /// Brings everything of the host's platform into the store and answers the target.
    async fn content(&self, name: &Reference) -> Result<Desc> {
        let (target, mut document) = self.target(name).await?;
        let mut depth = 0;
        let manifest = loop {
            match document {
                Document::Manifest(manifest) => break manifest,
                Document::Index(_) if depth == DEPTH => {
                    return Err(Error::invalid(format!(
                        "index {} nests deeper than {DEPTH} indexes",
                        target.digest
                    )));
                }
                Document::Index(index) => {
                    let best = choose(&index)
                        .first()
                        .copied()
                        .ok_or_else(|| no_platform(&target.digest))?;
                    document = self.document(best).await?;
                    depth += 1;
                }
            }
        };
        self.config(&manifest).await?;
        self.layers(&manifest).await?;
        Ok(target)
    }

    async fn target(&self, name: &Reference) -> Result<(Desc, Document)> {
        let wanted = name
            .digest()
            .map(Digest::as_str)
            .or(name.tag())
            .unwrap_or(DEFAULT_TAG);
        let fetched = self.repository.manifest(wanted).await?;
        let digest = sha256(&fetched.data);
        if name.digest().is_some_and(|wanted| *wanted != digest) {
            return Err(Error::data_loss(format!(
                "registry answers {digest} for {name}"
            )));
        }
        let document = Document::parse(&fetched.data, &fetched.media_type, &name.to_string())?;
        let size = fetched.data.len() as u64;
        let media_type = media_type(&document, &fetched);
        self.put(&digest, fetched.data).await?;
        Ok((
            Desc {
                media_type,
                digest,
                size,
                platform: None,
                annotations: None,
            },
            document,
        ))
    }

    async fn document(&self, desc: &Desc) -> Result<Document> {
        self.lease.hold(&desc.digest);
        let known = self.local(&desc.digest).await?;
        let data = match known {
            Some(data) => data,
            None => {
                let fetched = self.repository.manifest(desc.digest.as_str()).await?;
                if sha256(&fetched.data) != desc.digest || fetched.data.len() as u64 != desc.size {
                    return Err(Error::data_loss(format!(
                        "manifest {} is not what was promised",
                        desc.digest
                    )));
                }
                self.put(&desc.digest, fetched.data.clone()).await?;
                fetched.data
            }
        };
        Document::parse(&data, &desc.media_type, desc.digest.as_str())
    }

    async fn local(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let digest = digest.clone();
        let read = self
            .inner
            .blocking(move |inner| inner.content.document(&digest))
            .await;
        match read {
            Ok(data) => Ok(Some(data)),
            // A damaged copy is fetched again.
            Err(e) if matches!(e.kind, ErrorKind::NotFound | ErrorKind::DataLoss) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn put(&self, digest: &Digest, data: Vec<u8>) -> Result<()> {
        self.lease.hold(digest);
        self.inner
            .blocking(move |inner| inner.content.put(&data).map(drop))
            .await
    }

    async fn config(&self, manifest: &Manifest) -> Result<()> {
        let desc = &manifest.config;
        self.lease.hold(&desc.digest);
        if self.local(&desc.digest).await?.is_none() {
            self.blob(desc, false).await?;
        }
        let data = self.local(&desc.digest).await?;
        let data = data.ok_or_else(|| {
            Error::data_loss(format!("image configuration {} is gone", desc.digest))
        })?;
        ConfigDocument::parse(&data, &desc.digest)?.check(manifest)
    }

    async fn layers(&self, manifest: &Manifest) -> Result<()> {
        let mut seen = HashSet::new();
        let layers: Vec<&Desc> = manifest
            .layers
            .iter()
            .filter(|l| seen.insert(&l.digest))
            .collect();
        for layer in &layers {
            self.lease.hold(&layer.digest);
            if !self.there(layer).await? {
                (self.progress)(Progress::Waiting(layer.digest.to_string()));
            }
        }
        let downloads: Vec<_> = layers.into_iter().map(|layer| self.layer(layer)).collect();
        stream::iter(downloads)
            .buffer_unordered(self.inner.config.parallel_downloads.max(1))
            .try_collect::<()>()
            .await
    }

    async fn layer(&self, layer: &Desc) -> Result<()> {
        // Another pull may be bringing it: whoever comes second finds it there.
        let _turn = self.inner.flights.enter(layer.digest.as_str()).await;
        let digest = layer.digest.clone();
        let there = self
            .inner
            .blocking(move |inner| inner.content.size(&digest))
            .await?;
        if there == Some(layer.size) {
            (self.progress)(Progress::Exists(layer.digest.to_string()));
            return Ok(());
        }
        self.blob(layer, true).await?;
        (self.progress)(Progress::Downloaded(layer.digest.to_string()));
        Ok(())
    }

    async fn there(&self, layer: &Desc) -> Result<bool> {
        let digest = layer.digest.clone();
        let size = self
            .inner
            .blocking(move |inner| inner.content.size(&digest))
            .await?;
        Ok(size == Some(layer.size))
    }

    async fn blob(&self, desc: &Desc, tell: bool) -> Result<()> {
        let mut tried = 1;
        loop {
            let span =
                tracing::info_span!("download blob", digest = %desc.digest, bytes = desc.size);
            match self.download(desc, tell).instrument(span).await {
                Err(e) if e.kind == ErrorKind::Unavailable && tried < TRIES => {
                    tracing::info!(digest = %desc.digest, error = %e, "downloading again");
                    tried += 1;
                }
                other => return other,
            }
        }
    }

    async fn download(&self, desc: &Desc, tell: bool) -> Result<()> {
        let mut blob = self.repository.blob(&desc.digest).await?;
        let mut ingest = self.inner.blocking(|inner| inner.content.ingest()).await?;
        let mut told = 0;
        while let Some(piece) = blob.next().await? {
            // Pieces are small and go to the page cache; the flush at the end runs on a blocking thread.
            ingest.write(&piece)?;
            if ingest.size() > desc.size {
                return Err(Error::data_loss(format!(
                    "blob {} is larger than its {} bytes",
                    desc.digest, desc.size
                )));
            }
            if tell && (ingest.size() - told >= STEP || told == 0) {
                told = ingest.size();
                let (current, total) = (told, desc.size);
                (self.progress)(Progress::Downloading {
                    digest: desc.digest.to_string(),
                    current,
                    total,
                });
            }
        }
        if ingest.size() < desc.size {
            return Err(Error::unavailable(format!(
                "blob {} ends after {} bytes",
                desc.digest,
                ingest.size()
            )));
        }
        let digest = desc.digest.clone();
        self.inner
            .blocking(move |_| {
                let done = ingest.finish()?;
                if *done.digest() != digest {
                    return Err(Error::data_loss(format!(
                        "blob {digest} has the digest {} in truth",
                        done.digest()
                    )));
                }
                done.commit()
            })
            .await
    }
}

/// A layer that was there, unpacked and all, is not called complete as if it had come now; a layer that an image has
/// twice is told once.
fn quiet_about_known(progress: &ProgressSink) -> ProgressSink {
    let known = Mutex::new(HashSet::new());
    let progress = Arc::clone(progress);
    Arc::new(move |step| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        match &step {
            Progress::Exists(digest) => drop(known.insert(digest.clone())),
            Progress::Extracting { digest, .. } => drop(known.remove(digest)),
            Progress::Complete(digest) if !known.insert(digest.clone()) => return,
            _ => {}
        }
        drop(known);
        progress(step);
    })
}

/// The type a document gives itself, the one it was announced with, or the one its shape has.
fn media_type(document: &Document, fetched: &Fetched) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let own = serde_json::from_slice::<Typed>(&fetched.data)
        .ok()
        .and_then(|t| t.media_type);
    match own.unwrap_or_else(|| fetched.media_type.clone()) {
        said if !said.is_empty() => said,
        _ if matches!(document, Document::Index(_)) => INDEX_OCI.to_owned(),
        _ => MANIFEST_OCI.to_owned(),
    }
}

#[cfg(test)]
mod tests;
