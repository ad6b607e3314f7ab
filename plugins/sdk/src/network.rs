//! The kind `network`: connects sandboxes, manages addresses, publishes ports.
//!
//! Words, life cycle and payloads: [`gantry_abi::schema::network`]. A driver enters no namespace: sockets inside come
//! from [`crate::Host::netns_socket`].

pub use gantry_abi::schema::network::*;
pub use gantry_abi::schema::{FdIndex, Labels, State};

use crate::{Call, Driver, Empty, Error, Result};

/// A driver of the kind `network`. Every change is idempotent.
pub trait Network: Driver {
    /// Makes a network.
    ///
    /// # Errors
    /// `InvalidArgument` for options and pools it does not do, `FailedPrecondition` when a pool overlaps another.
    fn create(&self, call: &Call<'_>, request: CreateRequest) -> Result<CreateAnswer>;

    /// Removes a network; done when it is not there.
    ///
    /// # Errors
    /// `InUse` while an endpoint is left.
    fn delete(&self, call: &Call<'_>, request: DeleteRequest) -> Result<Empty>;

    /// Connects a sandbox.
    ///
    /// # Errors
    /// `ResourceExhausted` without a free address or port, `AlreadyExists` when the one asked for is taken.
    fn join(&self, call: &Call<'_>, request: JoinRequest) -> Result<JoinAnswer>;

    /// Disconnects a sandbox; done when it is not there. The namespace may be gone.
    ///
    /// # Errors
    /// Only when something could not be removed.
    fn leave(&self, call: &Call<'_>, request: LeaveRequest) -> Result<Empty>;

    /// Describes a network as it is now.
    ///
    /// # Errors
    /// `NotFound`.
    fn inspect(&self, call: &Call<'_>, request: InspectRequest) -> Result<InspectAnswer>;

    /// Called once after opening, before anything else: repairs what is missing, removes what nobody knows.
    ///
    /// # Errors
    /// Only when nothing could be looked at; single failures go into the answer.
    fn reconcile(&self, call: &Call<'_>, request: ReconcileRequest) -> Result<ReconcileAnswer>;

    /// Extension `network.stats`; offered when `export_plugin!` names it.
    ///
    /// # Errors
    /// `NotFound`.
    fn stats(&self, _call: &Call<'_>, request: StatsRequest) -> Result<StatsAnswer> {
        Err(Error::unimplemented(format!(
            "counters of endpoint {}: this network has none",
            request.endpoint
        )))
    }
}
