//! The kind `snapshotter`: layers and the writable trees of containers.
//!
//! Words, life cycle and payloads: [`gantry_abi::schema::snapshot`]. The host chooses keys, has never two changes of one
//! key under way, and mounts what the driver describes: a driver mounts nothing.

pub use gantry_abi::schema::snapshot::*;
pub use gantry_abi::schema::{MountSpec, State, Usage};

use crate::{Call, Driver, Empty, Error, Result};

/// A driver of the kind `snapshotter`. Every change is idempotent.
pub trait Snapshotter: Driver {
    /// Makes an active snapshot on top of a committed one.
    ///
    /// # Errors
    /// `NotFound` without the parent, `AlreadyExists` when the key is another snapshot's.
    fn prepare(&self, call: &Call<'_>, request: PrepareRequest) -> Result<MountsAnswer>;

    /// Makes a read-only snapshot.
    ///
    /// # Errors
    /// As [`Snapshotter::prepare`].
    fn view(&self, call: &Call<'_>, request: ViewRequest) -> Result<MountsAnswer>;

    /// Makes an active snapshot a committed one under a name.
    ///
    /// # Errors
    /// `NotFound` without the key (unless the name is committed already), `AlreadyExists` when both are there.
    fn commit(&self, call: &Call<'_>, request: CommitRequest) -> Result<CommitAnswer>;

    /// Describes how to mount an active snapshot or a view.
    ///
    /// # Errors
    /// `NotFound`; `FailedPrecondition` for a committed one.
    fn mounts(&self, call: &Call<'_>, request: MountsRequest) -> Result<MountsAnswer>;

    /// Removes a snapshot; done when it is not there.
    ///
    /// # Errors
    /// `InUse` while another one is made on it.
    fn remove(&self, call: &Call<'_>, request: RemoveRequest) -> Result<Empty>;

    /// Describes one snapshot.
    ///
    /// # Errors
    /// `NotFound`.
    fn stat(&self, call: &Call<'_>, request: StatRequest) -> Result<Info>;

    /// Describes every snapshot.
    ///
    /// # Errors
    /// When the driver's own store cannot be read.
    fn list(&self, call: &Call<'_>, request: ListRequest) -> Result<ListAnswer>;

    /// Space of one snapshot without its parents.
    ///
    /// # Errors
    /// `NotFound`.
    fn usage(&self, call: &Call<'_>, request: UsageRequest) -> Result<Usage>;

    /// Frees what removed snapshots left behind.
    ///
    /// # Errors
    /// When something could not be removed; the rest is.
    fn cleanup(&self, call: &Call<'_>, request: CleanupRequest) -> Result<CleanupAnswer>;

    /// Extension `snapshotter.diff`; offered when `export_plugin!` names it.
    ///
    /// # Errors
    /// `NotFound`.
    fn diff(&self, _call: &Call<'_>, request: DiffRequest) -> Result<DiffAnswer> {
        Err(Error::unimplemented(format!(
            "diff of {}: this snapshotter has none",
            request.key
        )))
    }
}
