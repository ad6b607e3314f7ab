//! A plugin in a process of its own: the same library, the same calls, over a unix socket.
//!
//! Both ends are here, so that they cannot disagree: [`serve()`] is the whole of the `gantry-plugin-runner` binary,
//! [`Runner`] is the host's side. A plugin that crashes takes its runner down and nothing else; one that does not return
//! by its deadline and some grace is killed with it. The two are always of one build: no version is negotiated.
//!
//! One control socket (the runner's standard input) opens the driver and hands over connections; each connection carries
//! one call at a time. The runner's standard output carries the plugin's log lines. End of control is the end of it.

mod client;
mod secret;
mod serve;
mod wire;

pub use client::{Replaced, Runner, RunnerConfig, StartError};
pub use secret::secret;
pub use serve::serve;
