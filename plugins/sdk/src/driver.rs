//! What every driver has, of whatever kind.

use gantry_abi::schema::InitRequest;

use crate::{Host, Result};

/// An opened driver. Its functions are called on many threads at once: `Sync` is meant.
pub trait Driver: Sized + Send + Sync + 'static {
    /// Opens the driver: once per process, before any other call. `init.root` is a folder of its own and exists.
    /// State left by an earlier process, or an earlier version, is taken over here.
    ///
    /// # Errors
    /// The plugin is shown as failed with this message and its objects say so; other plugins go on.
    fn open(host: Host, init: InitRequest) -> Result<Self>;

    /// An upgrade follows: no call will come any more. Writes down what the next version needs.
    ///
    /// # Errors
    /// The upgrade is called off.
    fn quiesce(&self) -> Result<()> {
        Ok(())
    }
}
