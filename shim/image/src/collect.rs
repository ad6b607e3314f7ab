//! Removing content and snapshots nothing needs.
//!
//! Needed is what the roots reach, what an operation under way holds, and every snapshot that is another one's parent.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use gantry_model::call::Call;
use gantry_model::digest::Digest;
use gantry_model::driver::{SnapshotInfo, SnapshotKind, Snapshotter};
use gantry_model::image::Roots;
use gantry_model::plugin::{PluginKind, PluginStatus};
use gantry_model::{ErrorKind, Result};

use crate::document::{Desc, chain_ids};
use crate::resolve::reachable;
use crate::service::Inner;
use crate::snapshot::UNPACKING;

/// What the roots need.
#[derive(Default)]
struct Needed {
    blobs: HashSet<Digest>,
    chains: HashSet<Digest>,
    diff_ids: HashSet<String>,
}

/// Collects. Goes on after a failure; a snapshot that cannot be removed now is one for the next time.
pub(crate) async fn collect(inner: &Arc<Inner>, call: &Call, roots: &Roots) -> Result<Vec<String>> {
    let targets = roots.targets.clone();
    let needed = Arc::new(
        inner
            .blocking(move |inner| Ok(needed(inner, &targets)))
            .await?,
    );
    for plugin in inner.drivers.list() {
        if plugin.kind != PluginKind::Snapshotter || plugin.status != PluginStatus::Active {
            continue;
        }
        call.cancel.check()?;
        let done = match inner.drivers.snapshotter(&plugin.name) {
            Ok(driver) => snapshots(inner, call, &*driver, &plugin.name, roots, &needed).await,
            Err(e) => Err(e),
        };
        if let Err(e) = done {
            tracing::warn!(snapshotter = plugin.name, error = %e, "snapshots are not collected");
        }
    }
    inner.blocking(move |inner| blobs(inner, &needed)).await
}

fn needed(inner: &Inner, targets: &BTreeSet<String>) -> Needed {
    let mut needed = Needed::default();
    for target in targets {
        // An unreadable digest names no content.
        let Ok(digest) = target.parse::<Digest>() else {
            continue;
        };
        let desc = Desc {
            media_type: String::new(),
            digest,
            size: 0,
            platform: None,
            annotations: None,
        };
        let found = reachable(&inner.content, &desc);
        needed.blobs.extend(found.blobs);
        for diff_ids in found.diff_ids {
            needed.chains.extend(chain_ids(&diff_ids));
            needed
                .diff_ids
                .extend(diff_ids.iter().map(|d| d.hex().to_owned()));
        }
    }
    needed
}

fn blobs(inner: &Inner, needed: &Needed) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for (digest, _) in inner.content.list()? {
        if needed.blobs.contains(&digest) || inner.leases.holds(digest.as_str()) {
            continue;
        }
        match inner.content.remove(&digest) {
            Ok(true) => {
                inner.cache().remove(&digest);
                removed.push(digest.to_string());
            }
            Ok(false) => {}
            Err(e) => tracing::warn!(%digest, error = %e, "content is not collected"),
        }
    }
    inner.content.forget_sizes(|hex| {
        needed.diff_ids.contains(hex) || inner.leases.holds(&format!("sha256:{hex}"))
    });
    removed.sort();
    Ok(removed)
}

async fn snapshots(
    inner: &Inner,
    call: &Call,
    driver: &dyn Snapshotter,
    name: &str,
    roots: &Roots,
    needed: &Needed,
) -> Result<()> {
    let mut left: BTreeMap<String, SnapshotInfo> = driver
        .list(call)
        .await?
        .into_iter()
        .map(|s| (s.key.clone(), s))
        .collect();
    let keep = |s: &SnapshotInfo| {
        if roots.snapshots.contains(&(name.to_owned(), s.key.clone())) || inner.leases.holds(&s.key)
        {
            return true;
        }
        match s.kind {
            SnapshotKind::Committed => s
                .key
                .parse::<Digest>()
                .is_ok_and(|chain| needed.chains.contains(&chain)),
            // Somebody else's, unless it is an unpack of ours that nobody works on.
            _ => s
                .key
                .strip_prefix(UNPACKING)
                .is_none_or(|hex| inner.leases.holds(&format!("sha256:{hex}"))),
        }
    };
    // From the leaves down: each round may make parents into leaves.
    loop {
        let parents: BTreeSet<String> = left.values().filter_map(|s| s.parent.clone()).collect();
        let leaf = |s: &SnapshotInfo| !parents.contains(&s.key) && !keep(s);
        let gone: Vec<String> = left
            .values()
            .filter(|s| leaf(s))
            .map(|s| s.key.clone())
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        for key in gone {
            match driver.remove(call, &key).await {
                // A child was made in between: it is needed again.
                Err(e) if e.kind == ErrorKind::Conflict => return Ok(()),
                other => other?,
            }
            left.remove(&key);
        }
    }
}
