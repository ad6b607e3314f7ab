//! Volumes.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::volume::Volume;
use gantry_model::{Error, ErrorKind, Result};

use crate::Engine;
use crate::effect::volume;

/// A request to make a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateVolume {
    /// Name; empty: an id is made up and the volume counts as anonymous.
    pub name: String,
    /// Driver; empty: `local`.
    pub driver: String,
    /// Driver's options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Makes a volume; one of that name and driver that exists is answered.
    ///
    /// # Errors
    /// `InvalidArgument` (name, options), `Conflict` (another driver), `NotFound` (driver).
    pub async fn create_volume(&self, request: CreateVolume) -> Result<Arc<Volume>> {
        let inner = Arc::clone(&self.inner);
        crate::run_to_end(async move {
            let mut request = request;
            let anonymous = request.name.is_empty();
            if anonymous {
                request.name =
                    gantry_model::ContainerId::from_random(inner.host.random()).to_string();
            }
            volume::ensure(&inner, &request, anonymous).await
        })
        .await
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Vec<Arc<Volume>> {
        let tables = self.inner.ledger.read();
        tables
            .volumes
            .values()
            .filter(|volume| volume.made)
            .cloned()
            .collect()
    }

    /// By name.
    ///
    /// # Errors
    /// `NotFound` (`get …: no such volume`).
    pub fn find_volume(&self, name: &str) -> Result<Arc<Volume>> {
        let found = self
            .inner
            .ledger
            .read()
            .volumes
            .get(name)
            .filter(|volume| volume.made)
            .cloned();
        found.ok_or_else(|| Error::not_found(format!("get {name}: no such volume")))
    }

    /// Removes one with its content. With `force` one that is not there is success.
    ///
    /// # Errors
    /// `Conflict` (`remove …: volume is in use - [ids]`), `NotFound`.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        let owned = name.to_owned();
        let result =
            crate::run_to_end(async move { volume::remove(&inner, &owned, None).await }).await;
        match result {
            Err(error) if force && error.kind == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
