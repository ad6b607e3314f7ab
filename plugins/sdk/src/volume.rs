//! The kind `volume`: data that outlives containers.
//!
//! Words, life cycle and payloads: [`gantry_abi::schema::volume`]. A driver mounts nothing: it answers a description.

pub use gantry_abi::schema::volume::*;
pub use gantry_abi::schema::{Labels, MountSpec, State, Usage};

use crate::{Call, Driver, Empty, Result};

/// A driver of the kind `volume`. Every change is idempotent.
pub trait Volume: Driver {
    /// Makes a volume.
    ///
    /// # Errors
    /// `AlreadyExists` when it is there with other options, `InvalidArgument` for an option it does not know.
    fn create(&self, call: &Call<'_>, request: CreateRequest) -> Result<CreateAnswer>;

    /// Removes a volume with its data; done when it is not there.
    ///
    /// # Errors
    /// `InUse` while it is mounted.
    fn remove(&self, call: &Call<'_>, request: RemoveRequest) -> Result<Empty>;

    /// Makes a volume ready for one container and describes its mount.
    ///
    /// # Errors
    /// `NotFound`.
    fn mount(&self, call: &Call<'_>, request: MountRequest) -> Result<MountAnswer>;

    /// A container no longer uses a volume; done when it never did.
    ///
    /// # Errors
    /// When a resource could not be let go.
    fn unmount(&self, call: &Call<'_>, request: UnmountRequest) -> Result<UnmountAnswer>;

    /// Describes a volume as it is now.
    ///
    /// # Errors
    /// `NotFound`.
    fn inspect(&self, call: &Call<'_>, request: InspectRequest) -> Result<VolumeInfo>;

    /// Describes every volume.
    ///
    /// # Errors
    /// When the driver's own store cannot be read.
    fn list(&self, call: &Call<'_>, request: ListRequest) -> Result<ListAnswer>;

    /// Space of a volume.
    ///
    /// # Errors
    /// `NotFound`.
    fn usage(&self, call: &Call<'_>, request: UsageRequest) -> Result<Usage>;
}
