//! The function tables of the kinds. They only ever grow at the end; [`crate::functions_of`] repeats their order.

use crate::CallFn;

macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($function:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct $name {
            /// Size of this table in bytes.
            pub size: u64,
            $(
                #[doc = concat!("`", stringify!($function), "`; none answers Unimplemented.")]
                pub $function: Option<CallFn>,
            )+
        }
    };
}

table! {
    /// The table `snapshotter`.
    Snapshotter { prepare, view, commit, mounts, remove, stat, list, usage, cleanup }
}
table! {
    /// The extension `snapshotter.diff`.
    SnapshotterDiff { diff }
}
table! {
    /// The table `network`.
    Network { create, delete, join, leave, inspect, reconcile }
}
table! {
    /// The extension `network.stats`.
    NetworkStats { stats }
}
table! {
    /// The table `volume`.
    Volume { create, remove, mount, unmount, inspect, list, usage }
}
