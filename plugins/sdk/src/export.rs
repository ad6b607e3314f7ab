//! What [`crate::export_plugin!`] expands to: the entry function, the note and the C side of every call.
//!
//! Not for drivers. Every function here that C calls contains panics: after one, the instance is refused.

use std::ffi::{CStr, c_char, c_void};

pub use gantry_abi::{ABI_MAJOR, ABI_MINOR, Note, Plugin};

mod serve;
mod tables;

pub use serve::{close, init, quiesce, release};
pub use tables::{network, snapshotter, volume};

/// A list of C strings for a static.
#[repr(transparent)]
pub struct Names<const N: usize>(pub [*const c_char; N]);

// SAFETY: points to string literals only.
unsafe impl<const N: usize> Sync for Names<N> {}

/// Looks up a table: the kind's own, or an extension the plugin named.
///
/// # Safety
/// `name` is a C string or null.
pub unsafe fn lookup(
    name: *const c_char,
    capabilities: &[&str],
    find: impl FnOnce(&str) -> Option<*const c_void>,
    kind: &str,
) -> *const c_void {
    if name.is_null() {
        return std::ptr::null();
    }
    // SAFETY: by the caller's promise.
    let Ok(name) = unsafe { CStr::from_ptr(name) }.to_str() else {
        return std::ptr::null();
    };
    if name != kind && !capabilities.contains(&name) {
        return std::ptr::null();
    }
    find(name).unwrap_or(std::ptr::null())
}

/// Exports a driver as a plugin. Call it once per library, which must be a `cdylib`.
///
/// `kind` is `snapshotter`, `network` or `volume`; `name` is `[a-z0-9-]`, at most 63 characters; `capabilities` lists
/// the extensions whose functions the driver has written, and free names the engine may ask for.
#[macro_export]
macro_rules! export_plugin {
    (
        kind: $kind:ident,
        name: $name:literal,
        driver: $driver:ty
        $(, capabilities: [$($capability:literal),* $(,)?])?
        $(,)?
    ) => {
        /// Read by the host before any code of this library runs.
        #[used]
        #[unsafe(link_section = ".note.gantry")]
        static GANTRY_NOTE: $crate::export::Note = $crate::export::Note::new(stringify!($kind), $name);

        /// The one exported symbol.
        #[unsafe(no_mangle)]
        pub extern "C" fn gantry_plugin_entry() -> *const $crate::export::Plugin {
            const CAPABILITIES: &[&str] = &[$($($capability),*)?];
            static NAMES: $crate::export::Names<{ CAPABILITIES.len() + 1 }> = $crate::export::Names([
                $($(concat!($capability, "\0").as_ptr().cast(),)*)?
                ::core::ptr::null(),
            ]);
            unsafe extern "C" fn table(name: *const ::core::ffi::c_char) -> *const ::core::ffi::c_void {
                // SAFETY: the host hands over a C string.
                unsafe {
                    $crate::export::lookup(
                        name,
                        CAPABILITIES,
                        $crate::export::$kind::find::<$driver>,
                        stringify!($kind),
                    )
                }
            }
            static PLUGIN: $crate::export::Plugin = $crate::export::Plugin {
                size: ::core::mem::size_of::<$crate::export::Plugin>() as u64,
                abi_major: $crate::export::ABI_MAJOR,
                abi_minor: $crate::export::ABI_MINOR,
                kind: concat!(stringify!($kind), "\0").as_ptr().cast(),
                name: concat!($name, "\0").as_ptr().cast(),
                version: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
                capabilities: NAMES.0.as_ptr(),
                init: Some($crate::export::init::<$driver>),
                table: Some(table),
                release: Some($crate::export::release),
                close: Some($crate::export::close::<$driver>),
                quiesce: Some($crate::export::quiesce::<$driver>),
            };
            &PLUGIN
        }
    };
}
