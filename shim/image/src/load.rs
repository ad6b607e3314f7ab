//! Loading archives: `docker save` of any age and OCI layouts, one or the other or both in one file.
//!
//! The archive is split while it arrives: every file becomes an ingest under its hash, nothing is written twice. Only
//! what an image needs is then moved into the store.

mod docker;
mod layout;
mod split;

use std::sync::Arc;

use gantry_model::call::Call;
use gantry_model::image::{ByteStream, Loaded, Progress, ProgressSink};
use gantry_model::{Error, Result};
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::document::Desc;
use crate::flight::Lease;
use crate::service::{Inner, bounded};
use split::Parts;

/// Pieces of the body that may wait for the disk.
const WAITING: usize = 16;

/// An image of the archive, its content in the store.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    names: Vec<String>,
    target: Desc,
}

pub(crate) async fn load(
    inner: &Arc<Inner>,
    call: &Call,
    archive: ByteStream,
    snapshotter: &str,
    lease: &Lease,
    progress: &ProgressSink,
) -> Result<Vec<Loaded>> {
    let parts = bounded(
        call,
        "load",
        receive(inner, archive).instrument(tracing::info_span!("receive archive")),
    )
    .await?;
    for digest in parts.digests() {
        lease.hold(digest);
    }
    let found = inner.blocking(move |inner| store(inner, parts)).await?;
    let mut loaded = Vec::with_capacity(found.len());
    for image in found {
        lease.hold(&image.target.digest);
        inner
            .unpacked(call, &image.target, snapshotter, lease, progress)
            .await?;
        for name in &image.names {
            progress(Progress::Message(format!("loaded {name}")));
        }
        loaded.push(Loaded {
            names: image.names,
            target: image.target.public(),
        });
    }
    Ok(loaded)
}

/// Feeds the body to the splitter, which reads on a blocking thread.
async fn receive(inner: &Arc<Inner>, mut archive: ByteStream) -> Result<Parts> {
    let (send, body) = mpsc::channel(WAITING);
    let split = inner.blocking(move |inner| split::split(inner, split::Body::new(body)));
    let feed = async move {
        while let Some(piece) = archive.next().await {
            let broken = piece.is_err();
            // The splitter has failed and says why.
            if send.send(piece).await.is_err() || broken {
                break;
            }
        }
    };
    let (parts, ()) = tokio::join!(split, feed);
    parts
}

fn store(inner: &Inner, mut parts: Parts) -> Result<Vec<Found>> {
    let saved = docker::read(&parts)?;
    let found = match layout::read(&parts)? {
        Some(index) => layout::store(inner, &mut parts, &index, &saved)?,
        None if saved.is_empty() => {
            return Err(Error::invalid(
                "archive holds no image: neither a manifest.json (docker save) nor an index.json (oci layout)",
            ));
        }
        None => docker::store(inner, &mut parts, &saved)?,
    };
    if found.is_empty() {
        Err(Error::invalid("archive holds no image for this platform"))
    } else {
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
