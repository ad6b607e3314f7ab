//! Pods.

use std::sync::Arc;

use gantry_model::sandbox::{PodSpec, Sandbox};
use gantry_model::{Error, Result, SandboxId};

use crate::Engine;

impl Engine {
    /// Makes a pod's sandbox with its network; it is `Running` when this returns. A retry with the same metadata and
    /// the same spec answers the same sandbox.
    ///
    /// # Errors
    /// `NotFound` (handler), `Conflict` (same metadata, other spec), `InvalidArgument`.
    pub async fn run_sandbox(&self, spec: PodSpec) -> Result<SandboxId> {
        let _ = spec;
        Err(Error::unimplemented("run sandbox"))
    }

    /// Kills its containers, frees its network. Done twice it is done once.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn stop_sandbox(&self, id: &SandboxId) -> Result<()> {
        let _ = id;
        Err(Error::unimplemented("stop sandbox"))
    }

    /// Stops it if need be, removes its containers and its record.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_sandbox(&self, id: &SandboxId) -> Result<()> {
        let _ = id;
        Err(Error::unimplemented("remove sandbox"))
    }

    /// All pods; oldest first. (Sandboxes of single runs are not shown.)
    pub fn sandboxes(&self) -> Vec<Arc<Sandbox>> {
        Vec::new()
    }

    /// By id or unambiguous prefix.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find_sandbox(&self, reference: &str) -> Result<Arc<Sandbox>> {
        Err(Error::not_found(format!(
            "no such pod sandbox: {reference}"
        )))
    }
}
