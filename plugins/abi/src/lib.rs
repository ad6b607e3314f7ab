//! The C interface between Gantry and its plugins: the `#[repr(C)]` mirror of `include/gantry_plugin.h`.
//!
//! Only layouts and constants live here; no behaviour, no dependency. A test compiles the header and compares every
//! size and offset with this mirror. The one exception is [`schema`], the JSON payloads as Rust structs, behind the
//! feature of that name: the SDK and the host must agree on them, the host must not link the SDK's export machinery,
//! and a third crate for it would only hide that they version together with the tables.
#![allow(unsafe_code)] // function pointers of a C interface are unsafe to call; nothing here calls one

use std::ffi::{c_char, c_void};
use std::os::fd::RawFd;

mod names;
mod note;
#[cfg(feature = "schema")]
pub mod schema;
mod tables;

pub use names::{ERROR_KINDS, ErrorCode, Outcome, functions_of, kinds};
pub use note::{NOTE_OWNER, NOTE_SECTION, NOTE_TYPE, Note};
pub use tables::{Network, NetworkStats, Snapshotter, SnapshotterDiff, Volume};

/// The major version: must be equal on both sides.
pub const ABI_MAJOR: u32 = 0;
/// The minor version: may differ in both directions; sizes tell what exists.
pub const ABI_MINOR: u32 = 1;
/// The one exported symbol of a plugin, of type [`EntryFn`].
pub const ENTRY_SYMBOL: &str = "gantry_plugin_entry";

/// A descriptor stays with its sender.
pub const FD_LENT: u32 = 0;
/// A descriptor now belongs to the receiver, whatever the outcome.
pub const FD_GIVEN: u32 = 1;

/// A descriptor that travels with a request or an answer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Fd {
    /// The descriptor's number.
    pub fd: RawFd,
    /// [`FD_LENT`] or [`FD_GIVEN`].
    pub ownership: u32,
}

/// Bytes of the caller; they live until the call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LentBytes {
    /// First byte; may be null when `len` is 0.
    pub data: *const u8,
    /// Length in bytes.
    pub len: u64,
}

/// Bytes of the plugin; they live until its `release` is called.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HeldBytes {
    /// First byte; may be null when `len` is 0.
    pub data: *const u8,
    /// Length in bytes.
    pub len: u64,
}

/// What a call is asked to do.
#[repr(C)]
#[derive(Debug)]
pub struct Request {
    /// Size of this struct as the host knows it.
    pub size: u64,
    /// UTF-8 id of the operation.
    pub operation: LentBytes,
    /// `CLOCK_MONOTONIC` in milliseconds; 0 is none.
    pub deadline_ms: u64,
    /// One JSON object in UTF-8.
    pub json: LentBytes,
    /// Descriptors, named in the JSON by index.
    pub fds: *const Fd,
    /// How many descriptors there are.
    pub fds_len: u32,
    /// Lent; readable once the call is cancelled. -1 is none.
    pub cancel_fd: RawFd,
}

/// What a call answers; all zero but `size` when the plugin gets it.
#[repr(C)]
#[derive(Debug)]
pub struct Answer {
    /// Size of this struct as the host knows it.
    pub size: u64,
    /// One JSON object; empty is read as `{}`.
    pub json: HeldBytes,
    /// What went wrong, with an outcome other than done.
    pub message: HeldBytes,
    /// Descriptors, named in the JSON by index.
    pub fds: *const Fd,
    /// How many descriptors there are.
    pub fds_len: u32,
    /// An [`ErrorCode`] as a number.
    pub error_kind: u32,
    /// The plugin's own, for `release`.
    pub held: *mut c_void,
}

/// An opened driver: the plugin's own, opaque to the host.
#[repr(C)]
pub struct Instance {
    _opaque: [u8; 0],
}

/// The shape of every function of a driver; answers an [`Outcome`] as a number.
pub type CallFn = unsafe extern "C" fn(*mut Instance, *const Request, *mut Answer) -> u32;
/// Opens a driver.
pub type InitFn =
    unsafe extern "C" fn(*const Host, *const Request, *mut Answer, *mut *mut Instance) -> u32;
/// Answers a table by name, or null.
pub type TableFn = unsafe extern "C" fn(*const c_char) -> *const c_void;
/// Frees what an answer holds.
pub type ReleaseFn = unsafe extern "C" fn(*mut Answer);
/// Closes a driver.
pub type CloseFn = unsafe extern "C" fn(*mut Instance);
/// The exported function.
pub type EntryFn = unsafe extern "C" fn() -> *const Plugin;

/// Services of the host; lives as long as the process.
#[repr(C)]
pub struct Host {
    /// Size of this table.
    pub size: u64,
    /// The host's major version.
    pub abi_major: u32,
    /// The host's minor version.
    pub abi_minor: u32,
    /// First argument of every function.
    pub ctx: *mut c_void,
    /// Writes one log line of a level.
    pub log: Option<unsafe extern "C" fn(*mut c_void, *const Request, u32, LentBytes)>,
    /// Tells the progress of a long call.
    pub progress: Option<unsafe extern "C" fn(*mut c_void, *const Request, LentBytes)>,
    /// Copies a secret; answers its length or `-errno`.
    pub secret:
        Option<unsafe extern "C" fn(*mut c_void, *const Request, LentBytes, *mut u8, u64) -> i64>,
    /// 1 when the call is cancelled or past its deadline.
    pub check_cancel: Option<unsafe extern "C" fn(*mut c_void, *const Request) -> i32>,
    /// Since 0.1. A socket made inside a network namespace; answers the descriptor or `-errno`.
    pub netns_socket:
        Option<unsafe extern "C" fn(*mut c_void, *const Request, RawFd, i32, i32, i32) -> i32>,
}

/// What the entry function answers: static.
#[repr(C)]
pub struct Plugin {
    /// Size of this table.
    pub size: u64,
    /// The major version the plugin was built for.
    pub abi_major: u32,
    /// The minor version the plugin was built for.
    pub abi_minor: u32,
    /// The kind, as in the note.
    pub kind: *const c_char,
    /// The name, as in the note.
    pub name: *const c_char,
    /// Version of the plugin itself.
    pub version: *const c_char,
    /// Names, ended by null.
    pub capabilities: *const *const c_char,
    /// Opens a driver.
    pub init: Option<InitFn>,
    /// Answers a table by name.
    pub table: Option<TableFn>,
    /// Frees what an answer holds.
    pub release: Option<ReleaseFn>,
    /// Closes a driver.
    pub close: Option<CloseFn>,
    /// Since 0.1. An upgrade follows.
    pub quiesce: Option<CallFn>,
}

// SAFETY: a `Plugin` is an immutable table of static strings and functions; the header demands that they are callable
// from any thread.
unsafe impl Sync for Plugin {}
