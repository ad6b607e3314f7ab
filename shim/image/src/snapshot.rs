//! Layers into snapshots: one committed snapshot for each chain of layers, made once, under its chain id.

use gantry_files::Limits;
use gantry_files::protocol::{Line, UnpackRequest, Unpacked};
use gantry_model::call::Call;
use gantry_model::digest::Digest;
use gantry_model::driver::{SnapshotKind, Snapshotter};
use gantry_model::image::{Progress, ProgressSink};
use gantry_model::{Error, ErrorKind, Result};
use tracing::Instrument;

use crate::document::{Desc, chain_ids};
use crate::flight::Lease;
use crate::helper;
use crate::resolve::Resolved;
use crate::service::Inner;

/// Keys of snapshots being unpacked begin with this; what a dead daemon left under it is removed.
pub(crate) const UNPACKING: &str = "extract-";

/// One layer on its way.
struct Layer<'a> {
    blob: &'a Desc,
    diff_id: &'a Digest,
    chain: &'a Digest,
    parent: Option<&'a Digest>,
}

/// Makes sure every layer of the image is a committed snapshot of this driver.
///
/// # Errors
/// Those of the driver and the helper; nothing half-made stays.
pub(crate) async fn unpack(
    inner: &Inner,
    call: &Call,
    image: &Resolved,
    snapshotter: &str,
    lease: &Lease,
    progress: &ProgressSink,
) -> Result<()> {
    let driver = inner.drivers.snapshotter(snapshotter)?;
    let diff_ids = image.config.diff_ids();
    let chains = chain_ids(diff_ids);
    chains.iter().for_each(|chain| lease.hold(chain));
    let top_there = match chains.last() {
        Some(top) => committed(&*driver, call, top).await?,
        None => true,
    };
    for (i, blob) in image.manifest.layers.iter().enumerate() {
        if !top_there {
            let parent = i.checked_sub(1).map(|below| &chains[below]);
            let layer = Layer {
                blob,
                diff_id: &diff_ids[i],
                chain: &chains[i],
                parent,
            };
            let _turn = inner
                .flights
                .enter(&format!("{snapshotter} {}", layer.chain))
                .await;
            if !committed(&*driver, call, layer.chain).await? {
                make(inner, call, &*driver, &layer, progress).await?;
            }
        }
        progress(Progress::Complete(blob.digest.to_string()));
    }
    Ok(())
}

async fn committed(driver: &dyn Snapshotter, call: &Call, chain: &Digest) -> Result<bool> {
    match driver.stat(call, chain.as_str()).await {
        Ok(info) => Ok(info.kind == SnapshotKind::Committed),
        Err(e) if e.kind == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e.context(format!("look for the snapshot {chain}"))),
    }
}

async fn make(
    inner: &Inner,
    call: &Call,
    driver: &dyn Snapshotter,
    layer: &Layer<'_>,
    progress: &ProgressSink,
) -> Result<()> {
    let key = format!("{UNPACKING}{}", layer.chain.hex());
    let doing = |e: Error| e.context(format!("unpack layer {}", layer.blob.digest));
    // Whatever a killed daemon left under this key is a part of a layer.
    driver.remove(call, &key).await.map_err(doing)?;
    let span =
        tracing::info_span!("unpack layer", digest = %layer.blob.digest, bytes = layer.blob.size);
    let made = fill(inner, call, driver, layer, &key, progress)
        .instrument(span)
        .await;
    let done = match made {
        Ok(found) => finish(call, driver, layer, &key).await.map(|()| found),
        Err(e) => Err(e),
    };
    match done {
        Ok(found) => {
            inner
                .content
                .note_unpacked_size(layer.diff_id, found.file_bytes);
            Ok(())
        }
        Err(e) => {
            // A cancelled call must still clean up.
            let call = Call {
                cancel: gantry_model::call::Cancel::default(),
                ..call.clone()
            };
            if let Err(left) = driver.remove(&call, &key).await {
                tracing::warn!(key, error = %left, "snapshot of a failed unpack is left behind until the next try");
            }
            Err(doing(e))
        }
    }
}

/// The layer is whole and on disk: it gets its name.
async fn finish(call: &Call, driver: &dyn Snapshotter, layer: &Layer<'_>, key: &str) -> Result<()> {
    gantry_fault::point("image.unpack.before-commit")?;
    driver.commit(call, key, layer.chain.as_str()).await?;
    // It is there: from here on nothing may be undone.
    gantry_fault::pass("image.unpack.after-commit");
    Ok(())
}

async fn fill(
    inner: &Inner,
    call: &Call,
    driver: &dyn Snapshotter,
    layer: &Layer<'_>,
    key: &str,
    progress: &ProgressSink,
) -> Result<Unpacked> {
    gantry_fault::point("image.unpack.before-prepare")?;
    let mounts = driver
        .prepare(call, key, layer.parent.map(Digest::as_str))
        .await?;
    gantry_fault::point("image.unpack.after-prepare")?;
    let own = inner.groups.enter()?;
    let request = UnpackRequest {
        tree: helper::tree(&mounts)?,
        fresh: layer.parent.is_none(),
        diff_id: Some(layer.diff_id.to_string()),
        digest: Some(layer.blob.digest.to_string()),
        limits: Limits::default(),
        cgroups: own.files(),
    };
    let blob = inner.content.open_blob(&layer.blob.digest)?;
    let (digest, total) = (layer.blob.digest.to_string(), layer.blob.size);
    let tell = |current| {
        progress(Progress::Extracting {
            digest: digest.clone(),
            current,
            total,
        })
    };
    tell(0);
    let answer = helper::run(
        &inner.config,
        call,
        "unpack",
        &request,
        own,
        Some(blob),
        tell,
    );
    match answer.await? {
        Line::Unpacked(found) => Ok(found),
        other => Err(Error::internal(format!(
            "helper answered an unpack with {other:?}"
        ))),
    }
}
