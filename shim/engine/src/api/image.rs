//! Images: names, claims, and what a door is shown.

use std::sync::Arc;

use gantry_model::driver::Usage;
use gantry_model::image::{
    ByteStream, Descriptor, ImageDetails, ImageName, Loaded, Origin, ProgressSink, RegistryAuth,
};
use gantry_model::{Error, Result};

use crate::Engine;

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

impl Engine {
    /// Pulls a reference and claims the name for the door. Pulls of one reference join.
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
        let _ = (origin, reference, auth, progress);
        Err(Error::unimplemented("pull"))
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
        let _ = (origin, archive, progress);
        Err(Error::unimplemented("load"))
    }

    /// All images, newest first. Both doors see the same images.
    pub async fn images(&self) -> Vec<ImageView> {
        Vec::new()
    }

    /// By name, digest, target id, configuration id, or unambiguous prefix of an id.
    ///
    /// # Errors
    /// `NotFound` (`No such image: …`), `InvalidArgument`.
    pub async fn find_image(&self, reference: &str) -> Result<ImageView> {
        Err(Error::not_found(format!("No such image: {reference}")))
    }

    /// Points another name at an image.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument`.
    pub async fn tag_image(&self, origin: Origin, source: &str, name: &str) -> Result<()> {
        let _ = (origin, source, name);
        Err(Error::unimplemented("tag"))
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
        let _ = (origin, reference, force);
        Err(Error::unimplemented("remove image"))
    }

    /// Space images take, and the folder they are in.
    ///
    /// # Errors
    /// Whatever kept it from being counted.
    pub async fn image_usage(&self) -> Result<(Usage, String)> {
        Err(Error::unimplemented("image usage"))
    }
}
