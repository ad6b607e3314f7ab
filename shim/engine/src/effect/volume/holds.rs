//! Which container was given which volume, from before its driver is asked until it has let go: so that a release that
//! failed, or a mount that was answered too late, is not forgotten. In memory: after a start-up of the daemon every ended
//! run is released anew.

use std::collections::BTreeSet;
use std::sync::Mutex;

use gantry_model::ContainerId;

use crate::inner::lock;

/// Volumes by name, with those that hold them.
#[derive(Default)]
pub(crate) struct Holds(Mutex<BTreeSet<(String, ContainerId)>>);

impl Holds {
    pub(super) fn add(&self, volume: &str, container: &ContainerId) {
        lock(&self.0).insert((volume.to_owned(), container.clone()));
    }

    pub(super) fn remove(&self, volume: &str, container: &ContainerId) {
        lock(&self.0).remove(&(volume.to_owned(), container.clone()));
    }

    pub(super) fn all(&self) -> Vec<(String, ContainerId)> {
        lock(&self.0).iter().cloned().collect()
    }
}
