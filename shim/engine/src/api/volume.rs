//! Volumes.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::volume::Volume;
use gantry_model::{Error, Result};

use crate::Engine;

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
        let _ = request;
        Err(Error::unimplemented("create volume"))
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Vec<Arc<Volume>> {
        Vec::new()
    }

    /// By name.
    ///
    /// # Errors
    /// `NotFound` (`get …: no such volume`).
    pub fn find_volume(&self, name: &str) -> Result<Arc<Volume>> {
        Err(Error::not_found(format!("get {name}: no such volume")))
    }

    /// Removes one with its content. With `force` one that is not there is success.
    ///
    /// # Errors
    /// `Conflict` (`remove …: volume is in use - [ids]`), `NotFound`.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        let _ = (name, force);
        Err(Error::unimplemented("remove volume"))
    }
}
