//! The snapshotter `native`: every snapshot is a whole tree, copied from its parent's.
//!
//! Slow and large, but it works on any file system, also where overlayfs does not; where the file
//! system can share blocks (reflinks) a copy costs only its folders. Everything of a file is kept:
//! owner, mode, times, extended attributes, hard links, holes, devices.

mod driver;

use driver::Native;

gantry_sdk::export_plugin! {
    kind: snapshotter,
    name: "native",
    driver: Native,
}
