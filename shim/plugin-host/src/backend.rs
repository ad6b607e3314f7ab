//! Where a driver runs: in this process, or in a runner's.

use gantry_plugin_loader::{Instance, Invocation, Reply};
use gantry_plugin_runner::Runner;

/// An opened driver. Calls block.
pub(crate) enum Backend {
    InProcess(Instance),
    Runner(Runner),
}

impl Backend {
    pub(crate) fn call(&self, table: &str, function: &str, call: Invocation<'_>) -> Reply {
        match self {
            Self::InProcess(instance) => instance.call(table, function, call),
            Self::Runner(runner) => runner.call(table, function, call),
        }
    }

    pub(crate) fn isolation(&self) -> &'static str {
        match self {
            Self::InProcess(_) => "in-process",
            Self::Runner(_) => "runner",
        }
    }
}
