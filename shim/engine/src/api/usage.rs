//! Space on disk.

use gantry_model::driver::Usage;
use gantry_model::{ContainerId, Result};

use crate::Engine;
use crate::inner::DRIVER_TIMEOUT;

impl Engine {
    /// Space of a container's writable layer. The snapshotter counts: this is no read from memory.
    ///
    /// # Errors
    /// `NotFound`, or what the snapshotter says.
    pub async fn container_usage(&self, id: &ContainerId) -> Result<Usage> {
        let container = self.inner.container(id)?;
        let driver = self.inner.drivers.snapshotter(&container.snapshotter)?;
        driver
            .usage(&self.inner.call(DRIVER_TIMEOUT), id.as_str())
            .await
    }
}
