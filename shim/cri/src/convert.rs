//! Conversions several calls share: CRI's messages to the model's words and back. Pure, but for the one profile file
//! that [`seccomp`] reads.

pub(crate) mod auth;
pub(crate) mod container;
pub(crate) mod container_view;
pub(crate) mod image;
pub(crate) mod lookup;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod path;
pub(crate) mod pod;
pub(crate) mod pod_view;
pub(crate) mod resources;
pub(crate) mod seccomp;
pub(crate) mod security;
pub(crate) mod signal;
pub(crate) mod stats;

use std::collections::{BTreeMap, HashMap};

/// Generated maps are hashed, the model's are sorted.
pub(crate) fn sorted(map: HashMap<String, String>) -> BTreeMap<String, String> {
    map.into_iter().collect()
}

/// And back.
pub(crate) fn hashed(map: &BTreeMap<String, String>) -> HashMap<String, String> {
    map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}
