//! Turns the kernel's refusals into the host's kinds of errors, by their code.

use std::io;

use gantry_sdk::Error;
use gantry_sys::netlink;

/// An error of the kernel, with its own words.
pub(crate) fn kernel(error: netlink::Error) -> Error {
    let message = error.to_string();
    match error.errno() {
        Some(errno) => Error {
            message,
            ..Error::io("", &io::Error::from_raw_os_error(errno as i32))
        },
        None => Error::internal(message),
    }
}

/// A fault that a test asked for.
pub(crate) fn injected(fault: gantry_fault::Injected) -> Error {
    Error::internal(fault.to_string())
}
