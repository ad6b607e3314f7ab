//! Safe wrappers of the Linux calls Gantry needs, in modules by subject.
//!
//! Invariant: `unsafe` for system calls lives here and nowhere else of the runtime; no policy lives here.

pub mod beneath;
pub mod xattr;
