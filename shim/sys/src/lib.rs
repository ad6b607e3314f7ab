//! Safe wrappers of Linux, one module a subject: mounts, namespaces, processes, descriptors, control groups.
//!
//! The only crate (beside the plugin border) that may say `unsafe`. It decides nothing: no policy, no defaults,
//! no logging. Every function names in its error what was tried on which object.
#![allow(unsafe_code)] // raw system calls live here so that no other crate needs them

pub mod beneath;
pub mod boot;
pub mod caps;
pub mod cgroup;
pub mod children;
pub mod descriptors;
pub mod error;
pub mod fdpass;
pub mod heap;
pub mod lock;
pub mod loopback;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod netns_socket;
pub mod nft;
pub mod process;
pub mod pty;
mod raw;
pub mod scheduling;
pub mod socket_queue;
pub mod spawn;
pub mod tree;
pub mod users;
pub mod xattr;

pub use error::{Error, Result};
pub use nix::errno::Errno;
