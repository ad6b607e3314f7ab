//! The harness of the black-box tests and of the bench: it starts real daemons, each in a network namespace, root and
//! run folder of its own, and talks to them as users do: by the `docker` command, by CRI, by plain HTTP, by `gantry`.
//!
//! It links nothing of the daemon but CRI's generated types. It needs root.

pub mod bundle;
pub mod case;
pub mod chaos;
pub mod cri;
pub mod docker;
pub mod http;
pub mod leaks;
pub mod netns;
pub mod node;
pub mod paths;
pub mod wait;
pub mod web;

pub use case::Case;
pub use node::Node;
