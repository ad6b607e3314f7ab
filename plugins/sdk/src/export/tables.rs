//! The tables of each kind for a driver type, one C function per trait function.

macro_rules! kind {
    (
        $(#[$doc:meta])*
        $module:ident, $driver:path, $requests:ident,
        { $($function:ident: $request:ident),+ $(,)? }
        $table:ident
        $(, extension $extension:literal $extension_table:ident { $($ext_function:ident: $ext_request:ident),+ })*
    ) => {
        $(#[$doc])*
        pub mod $module {
            use std::ffi::c_void;

            use gantry_abi::{Answer, Instance, Request};

            use crate::export::serve::serve;
            use crate::$requests::*;

            mod calls {
                use super::*;
                $(
                    pub(super) unsafe extern "C" fn $function<D: $driver>(
                        instance: *mut Instance,
                        request: *const Request,
                        answer: *mut Answer,
                    ) -> u32 {
                        // SAFETY: called by the host, which keeps the header's promises.
                        unsafe { serve::<D, $request>(instance, request, answer, D::$function) }
                    }
                )+
                $($(
                    pub(super) unsafe extern "C" fn $ext_function<D: $driver>(
                        instance: *mut Instance,
                        request: *const Request,
                        answer: *mut Answer,
                    ) -> u32 {
                        // SAFETY: called by the host, which keeps the header's promises.
                        unsafe { serve::<D, $ext_request>(instance, request, answer, D::$ext_function) }
                    }
                )+)*
            }

            /// The table called `name`.
            pub fn find<D: $driver>(name: &str) -> Option<*const c_void> {
                if name == stringify!($module) {
                    let table: &'static gantry_abi::$table = const {
                        &gantry_abi::$table {
                            size: size_of::<gantry_abi::$table>() as u64,
                            $($function: Some(calls::$function::<D>),)+
                        }
                    };
                    return Some(std::ptr::from_ref(table).cast());
                }
                $(
                    if name == $extension {
                        let table: &'static gantry_abi::$extension_table = const {
                            &gantry_abi::$extension_table {
                                size: size_of::<gantry_abi::$extension_table>() as u64,
                                $($ext_function: Some(calls::$ext_function::<D>),)+
                            }
                        };
                        return Some(std::ptr::from_ref(table).cast());
                    }
                )*
                None
            }
        }
    };
}

kind! {
    /// Tables of a snapshotter.
    snapshotter, crate::Snapshotter, snapshot,
    {
        prepare: PrepareRequest, view: ViewRequest, commit: CommitRequest, mounts: MountsRequest, remove: RemoveRequest,
        stat: StatRequest, list: ListRequest, usage: UsageRequest, cleanup: CleanupRequest,
    }
    Snapshotter, extension "snapshotter.diff" SnapshotterDiff { diff: DiffRequest }
}

kind! {
    /// Tables of a network.
    network, crate::Network, network,
    {
        create: CreateRequest, delete: DeleteRequest, join: JoinRequest, leave: LeaveRequest, inspect: InspectRequest,
        reconcile: ReconcileRequest,
    }
    Network, extension "network.stats" NetworkStats { stats: StatsRequest }
}

kind! {
    /// Tables of a volume.
    volume, crate::Volume, volume,
    {
        create: CreateRequest, remove: RemoveRequest, mount: MountRequest, unmount: UnmountRequest,
        inspect: InspectRequest, list: ListRequest, usage: UsageRequest,
    }
    Volume
}
