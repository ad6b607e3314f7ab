//! The service the engine sees.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gantry_files::protocol::{CopyUpRequest, Line};
use gantry_model::call::Call;
use gantry_model::digest::Digest;
use gantry_model::driver::{Drivers, Usage};
use gantry_model::image::{
    ByteStream, Descriptor, ImageDetails, ImageService, Loaded, ProgressSink, RegistryAuth, Roots,
};
use gantry_model::mount::MountDescription;
use gantry_model::{Error, Result};

use crate::config::Config;
use crate::content::Content;
use crate::document::{Desc, details};
use crate::flight::{Flights, Leases};
use crate::resolve::{Resolved, resolve};
use crate::{collect, helper, load, pull, snapshot};

/// Images, as the engine asks for them. Cheap to clone.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) content: Content,
    pub(crate) groups: helper::Groups,
    pub(crate) drivers: Arc<dyn Drivers>,
    pub(crate) flights: Flights,
    pub(crate) leases: Leases,
    cache: Mutex<HashMap<Digest, Arc<ImageDetails>>>,
}

impl Images {
    /// Opens the content store. What an earlier daemon left half-written is removed, after its helpers were ended: they
    /// would still write.
    ///
    /// # Errors
    /// `Internal` if the folder can't be made, `DeadlineExceeded` if such a helper does not end.
    pub fn open(config: Config, drivers: Arc<dyn Drivers>) -> Result<Self> {
        let groups = helper::Groups::open(config.helper_cgroup.as_deref())?;
        let content = Content::open(&config.content)?;
        let (flights, leases, cache) = (Flights::default(), Leases::default(), Mutex::default());
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                content,
                groups,
                drivers,
                flights,
                leases,
                cache,
            }),
        })
    }
}

impl Inner {
    /// Runs file system work off the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(|e| Error::internal(format!("content store: {e}")))?
    }

    pub(crate) async fn resolve(self: &Arc<Self>, target: &Desc) -> Result<Resolved> {
        let target = target.clone();
        self.blocking(move |inner| resolve(&inner.content, &target))
            .await
    }

    /// Describes an image and remembers the answer.
    fn describe(&self, target: &Desc, image: Resolved) -> Arc<ImageDetails> {
        let sizes = image
            .config
            .diff_ids()
            .iter()
            .map(|d| self.content.unpacked_size(d));
        let unpacked = sizes.fold(0, u64::saturating_add);
        let found = Arc::new(details(
            target,
            &image.manifest_desc,
            &image.manifest,
            image.config,
            unpacked,
        ));
        self.cache()
            .insert(target.digest.clone(), Arc::clone(&found));
        found
    }

    pub(crate) fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<ImageDetails>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unpacks what is in the store and describes it.
    pub(crate) async fn unpacked(
        self: &Arc<Self>,
        call: &Call,
        target: &Desc,
        snapshotter: &str,
        lease: &crate::flight::Lease,
        progress: &ProgressSink,
    ) -> Result<Arc<ImageDetails>> {
        let image = self.resolve(target).await?;
        snapshot::unpack(self, call, &image, snapshotter, lease, progress).await?;
        let target = target.clone();
        self.blocking(move |inner| Ok(inner.describe(&target, image)))
            .await
    }
}

/// Ends work when its call is cancelled or late. Dropping the work cleans up: files in `ingest/` go, connections close.
pub(crate) async fn bounded<T>(
    call: &Call,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        () = call.cancel.cancelled() => Err(Error::cancelled(format!("{what} was cancelled"))),
        done = tokio::time::timeout(call.timeout, work) => {
            done.unwrap_or_else(|_| Err(Error::deadline(format!("{what} took longer than {:?}", call.timeout))))
        }
    }
}

#[async_trait]
impl ImageService for Images {
    async fn pull(
        &self,
        call: &Call,
        reference: &str,
        auth: Option<&RegistryAuth>,
        snapshotter: &str,
        progress: ProgressSink,
    ) -> Result<Descriptor> {
        let lease = self.inner.leases.begin();
        let target = pull::pull(
            &self.inner,
            call,
            reference,
            auth,
            snapshotter,
            &lease,
            &progress,
        )
        .await?;
        Ok(target.public())
    }

    async fn load(
        &self,
        call: &Call,
        archive: ByteStream,
        snapshotter: &str,
        progress: ProgressSink,
    ) -> Result<Vec<Loaded>> {
        let lease = self.inner.leases.begin();
        let loaded = load::load(&self.inner, call, archive, snapshotter, &lease, &progress).await?;
        Ok(loaded)
    }

    async fn ensure_unpacked(
        &self,
        call: &Call,
        target: &Descriptor,
        snapshotter: &str,
    ) -> Result<ImageDetails> {
        let lease = self.inner.leases.begin();
        let target = Desc::of(target)?;
        lease.hold(&target.digest);
        let silent: ProgressSink = Arc::new(|_| {});
        let found = self
            .inner
            .unpacked(call, &target, snapshotter, &lease, &silent)
            .await?;
        Ok(ImageDetails::clone(&found))
    }

    async fn details(&self, target: &Descriptor) -> Result<Arc<ImageDetails>> {
        let target = Desc::of(target)?;
        if let Some(found) = self.inner.cache().get(&target.digest) {
            return Ok(Arc::clone(found));
        }
        self.inner
            .blocking(move |inner| Ok(inner.describe(&target, resolve(&inner.content, &target)?)))
            .await
    }

    async fn copy_up(
        &self,
        call: &Call,
        rootfs: &[MountDescription],
        path: &str,
        destination: &str,
    ) -> Result<()> {
        if !path.starts_with('/') {
            return Err(Error::invalid(format!(
                "path {path:?} of a volume is not absolute"
            )));
        }
        let own = self.inner.groups.enter()?;
        let request = CopyUpRequest {
            tree: read_only(helper::tree(rootfs)?),
            path: Path::new(path).to_owned(),
            target: destination.into(),
            limits: gantry_files::Limits::default(),
            cgroups: own.files(),
        };
        let config = &self.inner.config;
        match helper::run(config, call, "copy-up", &request, own, None, |_| {}).await? {
            Line::Copied(_) => Ok(()),
            other => Err(Error::internal(format!(
                "helper answered a copy with {other:?}"
            ))),
        }
    }

    async fn collect(&self, call: &Call, roots: &Roots) -> Result<Vec<String>> {
        collect::collect(&self.inner, call, roots).await
    }

    async fn usage(&self) -> Result<(Usage, String)> {
        self.inner
            .blocking(|inner| {
                let blobs = inner.content.list()?;
                let bytes = blobs.iter().map(|(_, size)| size).sum();
                let usage = Usage {
                    bytes,
                    inodes: blobs.len() as u64,
                };
                Ok((usage, inner.content.root().display().to_string()))
            })
            .await
    }
}

/// A copy only reads: the upper directory becomes the topmost lower one, so that no second live overlay ever has it as
/// its upper.
fn read_only(tree: gantry_files::protocol::Tree) -> gantry_files::protocol::Tree {
    use gantry_files::protocol::Tree;
    match tree {
        Tree::Overlay {
            lower,
            upper: Some(upper),
            ..
        } => Tree::Overlay {
            lower: std::iter::once(upper).chain(lower).collect(),
            upper: None,
            work: None,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests;
