//! Netlink by hand: just the messages Gantry sends, in one system call per batch.
//!
//! A [`Batch`] collects requests, a [`Socket`] sends them at once and reads the answers. The kernel
//! works through a batch inside `sendmsg`, in the order given, so a process killed with -9 has sent
//! all of it or nothing. Sockets for another network namespace are opened elsewhere and handed in
//! with [`Socket::from_fd`]; nothing here changes a namespace.
//!
//! It must not know what a network is for: names, addresses and marks are the caller's.

mod address;
mod batch;
mod conntrack;
mod link;
mod message;
mod port;
mod route;
mod socket;
mod sysctl;

pub use address::{Address, add_address, addresses};
pub use batch::Batch;
pub use conntrack::{Flow, forget_udp};
pub use link::{
    Link, Veth, add_bridge, add_veth, delete_link, find_link, links, set_alias, set_down,
    set_master, set_no_link_local, set_up,
};
pub use message::{Attribute, Attributes, Buffer, Message, attributes, messages};
pub use port::set_bridge_port;
pub use route::{Route, add_default_route, routes};
pub use socket::{Protocol, Socket};
pub use sysctl::{ip_forward, set_ip_forward, set_link_sysctl};

use nix::errno::Errno;

/// Why a netlink exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused one request of a batch.
    #[error("{what}: {errno}{detail}")]
    Refused {
        /// What was asked, for people.
        what: String,
        /// The kernel's code.
        errno: Errno,
        /// The kernel's own words (extended ack), with a leading space and brackets, or empty.
        detail: String,
    },
    /// The socket itself failed.
    #[error("netlink {what}: {errno}")]
    Socket {
        /// The system call.
        what: &'static str,
        /// Its code.
        errno: Errno,
    },
    /// The kernel's answer was shorter than its own lengths say.
    #[error("netlink answer is malformed: {0}")]
    Malformed(&'static str),
    /// A file beneath `/proc/sys` could not be written or read.
    #[error("sysctl {path}: {source}")]
    Sysctl {
        /// The file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
}

impl Error {
    /// The kernel's code, where there is one. Decisions are made by this, never by the text.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } | Self::Socket { errno, .. } => Some(*errno),
            Self::Sysctl { source, .. } => source.raw_os_error().map(Errno::from_raw),
            Self::Malformed(_) => None,
        }
    }

    /// True for "no such link, table, route or element".
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(
            self.errno(),
            Some(Errno::ENODEV | Errno::ENOENT | Errno::ESRCH | Errno::EADDRNOTAVAIL)
        )
    }

    /// True for "there already".
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }
}

/// Result of a netlink exchange.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests;
