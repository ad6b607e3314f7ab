//! The shelf on which snapshotters keep their snapshots: one folder each, with a durable record of
//! key, kind, parent and labels.
//!
//! Layout beneath the driver's root:
//!
//! ```text
//! snapshots/<n>/record.json  fs/ …   what exists
//! making/<n>/                        not there yet: the call that makes it has not returned
//! removed/<n>/                       not there any more: space to be freed
//! ```
//!
//! Moves between the three are renames, so a snapshot is there whole or not at all after a kill or a
//! power cut. What is inside a folder besides the record is the driver's; nothing is mounted here.

mod disk;
mod record;
mod store;

pub use record::Record;
pub use store::Store;
