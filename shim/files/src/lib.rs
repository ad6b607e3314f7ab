//! Archives and file trees beneath a descriptor: unpacking a layer, copying a tree.
//!
//! All input is taken for hostile. Nothing here resolves a path by string: every name is looked up beneath a directory
//! descriptor, every stream has limits. The code runs inside the short-lived `gantry-helper`; gantryd itself uses only
//! the message types in [`protocol`].

pub mod archive;
pub mod copy;
pub mod error;
pub mod limits;
pub mod protocol;
mod remove;
pub mod stream;
pub mod unpack;

pub use error::{Error, Result};
pub use limits::Limits;
