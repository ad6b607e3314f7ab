//! The snapshotter `overlay`: every snapshot is a folder of changes, put together by overlayfs.
//!
//! It keeps folders and describes mounts; it mounts nothing but for one probe when it opens: detached,
//! or before Linux 6.7 for a moment on a folder of its own. In a snapshot, `fs` holds the changes, `work` is
//! overlayfs' own folder and goes when the snapshot is committed.

mod driver;
mod layers;
mod probe;

use driver::Overlay;

gantry_sdk::export_plugin! {
    kind: snapshotter,
    name: "overlay",
    driver: Overlay,
    capabilities: ["snapshotter.diff"],
}
