//! The JSON documents of an image, read with suspicion: index, manifest, configuration (OCI image specification and
//! Docker's schema 2). Pure.

mod config;
mod manifest;
mod media;
mod platform;

pub(crate) use config::{ConfigDocument, chain_ids, details};
pub(crate) use manifest::{Desc, Document, Index, Manifest};
pub(crate) use media::{ACCEPT, INDEX_OCI, MANIFEST_OCI, layer_for};
#[cfg(test)]
pub(crate) use platform::architecture;
pub(crate) use platform::choose;

/// Indexes may point to indexes, this deep.
pub(crate) const DEPTH: usize = 4;

#[cfg(test)]
mod tests;
