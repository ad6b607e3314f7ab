//! Pods.

use std::sync::Arc;

use gantry_model::sandbox::{PodSpec, Sandbox};
use gantry_model::{Error, Result, SandboxId};

use crate::owner::Wish;
use crate::{Engine, pods};

impl Engine {
    /// Makes a pod's sandbox with its network; it is `Running` when this returns. A retry with the same metadata and
    /// the same spec answers the same sandbox.
    ///
    /// # Errors
    /// `NotFound` (handler), `Conflict` (same metadata, other spec), `InvalidArgument`.
    pub async fn run_sandbox(&self, spec: PodSpec) -> Result<SandboxId> {
        let inner = Arc::clone(&self.inner);
        crate::run_to_end(async move { pods::run(&inner, spec).await }).await
    }

    /// Kills its containers, frees its network. Done twice it is done once.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn stop_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.inner.sandbox(id)?;
        self.inner.ask_pod(id, Wish::StopPod).await
    }

    /// Stops it if need be, removes its containers and its record.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.inner.sandbox(id)?;
        self.inner.ask_pod(id, Wish::RemovePod).await
    }

    /// All pods; oldest first. (Sandboxes of single runs are not shown.)
    pub fn sandboxes(&self) -> Vec<Arc<Sandbox>> {
        let tables = self.inner.ledger.read();
        let mut pods: Vec<_> = tables
            .sandboxes
            .values()
            .filter(|s| s.pod.is_some())
            .cloned()
            .collect();
        pods.sort_by_key(|sandbox| sandbox.created_at);
        pods
    }

    /// By id or unambiguous prefix.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find_sandbox(&self, reference: &str) -> Result<Arc<Sandbox>> {
        let tables = self.inner.ledger.read();
        let pods = tables
            .sandboxes
            .values()
            .filter(|sandbox| sandbox.pod.is_some());
        let mut matching =
            pods.filter(|s| !reference.is_empty() && s.id.as_str().starts_with(reference));
        match (matching.next(), matching.next()) {
            (Some(found), None) => Ok(Arc::clone(found)),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "several pod sandboxes begin with {reference}"
            ))),
            _ => Err(Error::not_found(format!(
                "no such pod sandbox: {reference}"
            ))),
        }
    }
}
