//! Images: the content store, the registry client, loading, unpacking and collection.
//!
//! Implements [`gantry_model::image::ImageService`]. It knows digests, manifests and layers; names and claims are the
//! engine's, doors are unknown to it. It never touches a file of a layer itself: that is the helper's work.
//!
//! Content is on disk (fsynced) before anybody is told its digest, and a blob's file name is its verified digest, so
//! nothing is ever "there but broken".

mod collect;
mod config;
mod content;
mod document;
mod flight;
mod helper;
mod load;
mod pull;
mod registry;
mod resolve;
mod service;
mod snapshot;
#[cfg(test)]
mod testing;

pub use config::Config;
pub use service::Images;
