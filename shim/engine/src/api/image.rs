//! Images: names, claims, and what a door is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gantry_model::driver::Usage;
use gantry_model::event::Subject;
use gantry_model::image::{
    ByteStream, Descriptor, ImageDetails, ImageName, Loaded, Origin, ProgressSink, RegistryAuth,
};
use gantry_model::operation::OperationKind;
use gantry_model::reference::Reference;
use gantry_model::{Error, Result};

use crate::Engine;
use crate::change::Item;
use crate::inner::Inner;

/// One target with all names that point to it.
#[derive(Clone, Debug)]
pub struct ImageView {
    /// Details of the host's platform.
    pub details: Arc<ImageDetails>,
    /// Names, sorted; both doors'. `name` contains `@` for a digest reference.
    pub names: Vec<Arc<ImageName>>,
    /// Containers (of both doors) that use it.
    pub containers: usize,
}

/// What removing an image did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovedImage {
    /// A name was taken away (as users write it).
    Untagged(String),
    /// Content is gone (target digest).
    Deleted(String),
}

/// Pulls and loads may take as long as their bytes do; the service notices when nothing moves.
const TIMEOUT: Duration = Duration::from_secs(6 * 3600);

impl Engine {
    /// Pulls a reference and claims the name for the door. Pulls of one reference share their downloads.
    ///
    /// # Errors
    /// `InvalidArgument` (`invalid reference format`), `NotFound`, `Unauthenticated`, `Unavailable`, `DataLoss`.
    pub async fn pull_image(
        &self,
        origin: Origin,
        reference: &str,
        auth: Option<RegistryAuth>,
        progress: ProgressSink,
    ) -> Result<Descriptor> {
        let name = normalise(reference)?;
        let inner = Arc::clone(&self.inner);
        crate::run_to_end(async move {
            let _content = inner.use_content().await;
            let (operation, call) = inner.operation(OperationKind::PullImage, &name, TIMEOUT);
            inner
                .ledger
                .write(inner.change().with(Item::Operation(operation.clone())))
                .await?;
            let snapshotter = &inner.config.snapshotter;
            let result = inner
                .images
                .pull(&call, &name, auth.as_ref(), snapshotter, progress)
                .await;
            let result = match result {
                Ok(target) => point(&inner, origin, &name, &target, "pull")
                    .await
                    .map(|()| target),
                Err(error) => Err(error),
            };
            inner.end(&operation).await?;
            result
        })
        .await
    }

    /// Loads an archive and claims its names for the door.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no image archive, `DataLoss`.
    pub async fn load_images(
        &self,
        origin: Origin,
        archive: ByteStream,
        progress: ProgressSink,
    ) -> Result<Vec<Loaded>> {
        let inner = Arc::clone(&self.inner);
        crate::run_to_end(async move {
            let _content = inner.use_content().await;
            let (operation, call) = inner.operation(OperationKind::LoadImages, "archive", TIMEOUT);
            inner
                .ledger
                .write(inner.change().with(Item::Operation(operation.clone())))
                .await?;
            let result = inner
                .images
                .load(&call, archive, &inner.config.snapshotter, progress)
                .await;
            let result = match result {
                Ok(loaded) => claim_loaded(&inner, origin, &loaded).await.map(|()| loaded),
                Err(error) => Err(error),
            };
            inner.end(&operation).await?;
            result
        })
        .await
    }

    /// All images, newest first. Both doors see the same images.
    pub async fn images(&self) -> Vec<ImageView> {
        let targets: BTreeMap<String, Descriptor> = {
            let tables = self.inner.ledger.read();
            tables
                .image_names
                .values()
                .map(|name| (name.target.digest.clone(), name.target.clone()))
                .collect()
        };
        let mut views = Vec::with_capacity(targets.len());
        for target in targets.into_values() {
            match view(&self.inner, &target).await {
                Ok(view) => views.push(view),
                Err(error) => tracing::warn!(image = %target.digest, %error, "describing an image"),
            }
        }
        views.sort_by(|a, b| b.details.created.cmp(&a.details.created));
        views
    }

    /// By name, digest, target id, configuration id, or unambiguous prefix of an id.
    ///
    /// # Errors
    /// `NotFound` (`No such image: …`), `InvalidArgument`.
    pub async fn find_image(&self, reference: &str) -> Result<ImageView> {
        let (_, details) = resolve(&self.inner, reference).await?;
        view(&self.inner, &details.target).await
    }

    /// Points another name at an image.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument`.
    pub async fn tag_image(&self, origin: Origin, source: &str, name: &str) -> Result<()> {
        let name = normalise(name)?;
        if name.contains('@') {
            return Err(Error::invalid(
                "refusing to create a tag with a digest reference",
            ));
        }
        let (_, details) = resolve(&self.inner, source).await?;
        point(&self.inner, origin, &name, &details.target, "tag").await
    }

    /// Docker's removal: by name it untags, and deletes when that was the last name; by id it needs `force` with
    /// several names. CRI's removal (origin `Cri`) drops all of CRI's claims on the image. Content goes when nothing
    /// claims it.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` with Docker's words when a container uses it.
    pub async fn remove_image(
        &self,
        origin: Origin,
        reference: &str,
        force: bool,
    ) -> Result<Vec<RemovedImage>> {
        let removed = crate::image_removal::run(&self.inner, origin, reference, force).await?;
        Inner::collect_now(&self.inner).await;
        Ok(removed)
    }

    /// Space images take, and the folder they are in.
    ///
    /// # Errors
    /// Whatever kept it from being counted.
    pub async fn image_usage(&self) -> Result<(Usage, String)> {
        self.inner.images.usage().await
    }
}

/// The name as records keep it: complete, with a tag or a digest but never both.
///
/// # Errors
/// `InvalidArgument` with Docker's words.
pub(crate) fn normalise(reference: &str) -> Result<String> {
    let parsed =
        Reference::parse_tagged(reference).map_err(|error| Error::invalid(error.to_string()))?;
    Ok(match parsed.digest() {
        Some(digest) => parsed.with_digest(digest.clone()).to_string(),
        None => parsed.to_string(),
    })
}

/// Finds an image by whatever users call it; answers its record name (or digest) and details.
pub(crate) async fn resolve(
    inner: &Arc<Inner>,
    reference: &str,
) -> Result<(String, Arc<ImageDetails>)> {
    if let Ok(name) = normalise(reference) {
        let found = inner.ledger.read().image_names.get(&name).cloned();
        if let Some(found) = found {
            return Ok((name, inner.images.details(&found.target).await?));
        }
    }
    let id = reference.strip_prefix("sha256:").unwrap_or(reference);
    let id = id.rsplit_once("@sha256:").map_or(id, |(_, digest)| digest);
    let hex = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let mut found: BTreeMap<String, Arc<ImageDetails>> = BTreeMap::new();
    if hex {
        for details in known(inner).await {
            let begins = |digest: &str| {
                digest
                    .strip_prefix("sha256:")
                    .is_some_and(|hex| hex.starts_with(id))
            };
            if begins(&details.target.digest) || begins(&details.config_digest) {
                found.insert(details.target.digest.clone(), details);
            }
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some((digest, details)), None) => Ok((digest, details)),
        (Some(_), Some(_)) if id.len() < 64 => Err(Error::invalid(format!(
            "ambiguous reference: several images begin with {reference}"
        ))),
        (Some((digest, details)), Some(_)) => Ok((digest, details)),
        // A short id is no name, a name that breaks the grammar can never be found: that is the caller's mistake.
        _ => Err(match Reference::parse_tagged(reference) {
            Ok(name) => Error::not_found(format!("No such image: {}", name.familiar())),
            Err(_) if hex => Error::not_found(format!("No such image: {reference}")),
            Err(error) => Error::invalid(format!("image {reference:?}: {error}")),
        }),
    }
}

/// Details of every image a name or a container knows.
async fn known(inner: &Arc<Inner>) -> Vec<Arc<ImageDetails>> {
    let targets: BTreeSet<Descriptor> = {
        let tables = inner.ledger.read();
        let names = tables.image_names.values().map(|name| name.target.clone());
        names
            .chain(
                tables
                    .containers
                    .values()
                    .map(|c| c.borrow().container.image.clone()),
            )
            .collect()
    };
    let mut all = Vec::new();
    for target in targets {
        if let Ok(details) = inner.images.details(&target).await {
            all.push(details);
        }
    }
    all
}

async fn view(inner: &Arc<Inner>, target: &Descriptor) -> Result<ImageView> {
    let details = inner.images.details(target).await?;
    let tables = inner.ledger.read();
    let named = tables
        .image_names
        .values()
        .filter(|name| name.target.digest == target.digest);
    let names = named
        .filter(|name| !is_dangling(&name.name))
        .cloned()
        .collect();
    let uses = |c: &&tokio::sync::watch::Sender<crate::ledger::Seen>| {
        c.borrow().container.image.digest == target.digest
    };
    let containers = tables.containers.values().filter(uses).count();
    Ok(ImageView {
        details,
        names,
        containers,
    })
}

/// The record that keeps an image nobody has a name for.
pub(crate) fn dangling(target: &Descriptor) -> String {
    format!("<none>@{}", target.digest)
}

pub(crate) fn is_dangling(name: &str) -> bool {
    name.starts_with("<none>@")
}

async fn claim_loaded(inner: &Arc<Inner>, origin: Origin, loaded: &[Loaded]) -> Result<()> {
    for image in loaded {
        if image.names.is_empty() {
            point(
                inner,
                origin,
                &dangling(&image.target),
                &image.target,
                "load",
            )
            .await?;
        }
        for name in &image.names {
            point(inner, origin, name, &image.target, "load").await?;
        }
    }
    Ok(())
}

/// Points a name at a target and adds the door's claim. What the name pointed to before stays as an image without a
/// name, until somebody removes it.
pub(crate) async fn point(
    inner: &Arc<Inner>,
    origin: Origin,
    name: &str,
    target: &Descriptor,
    action: &str,
) -> Result<()> {
    let _one_at_a_time = inner.reserve_in_turn("image names").await;
    let (before, others) = {
        let tables = inner.ledger.read();
        let before = tables.image_names.get(name).cloned();
        let same = |other: &&Arc<ImageName>| {
            before
                .as_ref()
                .is_some_and(|b| b.target.digest == other.target.digest)
                && other.name != name
        };
        (
            before.clone(),
            tables.image_names.values().filter(same).count(),
        )
    };
    let mut claims = before
        .as_ref()
        .map(|before| before.claims.clone())
        .unwrap_or_default();
    claims.insert(origin);
    let at = inner.now();
    let mut change = inner.change();
    if let Some(before) =
        before.filter(|before| before.target.digest != target.digest && others == 0)
    {
        let name = dangling(&before.target);
        let kept = ImageName {
            name,
            target: before.target.clone(),
            claims: before.claims.clone(),
            updated_at: at,
        };
        change = change.with(Item::ImageName(kept));
    }
    let anonymous = dangling(target);
    if name != anonymous && inner.ledger.read().image_names.contains_key(&anonymous) {
        change = change.with(Item::NoImageName(anonymous));
    }
    let record = ImageName {
        name: name.to_owned(),
        target: target.clone(),
        claims,
        updated_at: at,
    };
    let shown =
        Reference::parse(name).map_or_else(|_| target.digest.clone(), |parsed| parsed.familiar());
    let attributes = BTreeMap::from([("name".to_owned(), shown.clone())]);
    let id = if action == "pull" {
        &shown
    } else {
        &target.digest
    };
    let change = change.event(Subject::Image, action, id, None, attributes);
    inner
        .ledger
        .write(change.with(Item::ImageName(record)))
        .await
}

/// Holds off collections while content is in use that no record names yet.
pub(crate) struct ContentUse {
    inner: Arc<Inner>,
    guard: Option<tokio::sync::OwnedRwLockReadGuard<()>>,
}

impl Drop for ContentUse {
    fn drop(&mut self) {
        self.guard = None;
        if self
            .inner
            .collect_wanted
            .load(std::sync::atomic::Ordering::SeqCst)
        {
            Inner::collect_soon(&self.inner);
        }
    }
}

impl Inner {
    pub(crate) async fn use_content(self: &Arc<Self>) -> ContentUse {
        let guard = Arc::clone(&self.gate).read_owned().await;
        ContentUse {
            inner: Arc::clone(self),
            guard: Some(guard),
        }
    }

    /// Removes content nothing claims, beside whatever the caller does next.
    pub(crate) fn collect_soon(inner: &Arc<Self>) {
        let inner = Arc::clone(inner);
        tokio::spawn(async move { Self::collect_now(&inner).await });
    }

    /// Removes content nothing claims. When somebody uses content that is not recorded yet, the last of them does it.
    pub(crate) async fn collect_now(inner: &Arc<Self>) {
        if inner.unreadable.any {
            // What cannot be read may claim what nobody else does.
            return;
        }
        inner
            .collect_wanted
            .store(true, std::sync::atomic::Ordering::SeqCst);
        let Ok(_alone) = inner.gate.try_write() else {
            return;
        };
        inner
            .collect_wanted
            .store(false, std::sync::atomic::Ordering::SeqCst);
        let roots = inner.roots();
        let call = inner.call(crate::inner::DRIVER_TIMEOUT);
        match inner.images.collect(&call, &roots).await {
            Ok(removed) if !removed.is_empty() => {
                tracing::info!(blobs = removed.len(), "collected unclaimed content")
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "collecting unclaimed content"),
        }
    }

    fn roots(&self) -> gantry_model::image::Roots {
        let tables = self.ledger.read();
        let mut roots = gantry_model::image::Roots::default();
        roots.targets.extend(
            tables
                .image_names
                .values()
                .map(|name| name.target.digest.clone()),
        );
        for seen in tables.containers.values() {
            let container = &seen.borrow().container;
            roots.targets.insert(container.image.digest.clone());
            roots
                .snapshots
                .insert((container.snapshotter.clone(), container.id.to_string()));
        }
        roots
    }
}
