//! The daemon itself: one file per verb.

pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod ping;
pub(crate) mod version;
