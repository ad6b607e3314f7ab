//! Where a driver runs: in this process, or in a runner's.

use gantry_plugin_loader::{Instance, Invocation, Reply};
use gantry_plugin_runner::{Replaced, Runner};

/// An opened driver. Calls block.
pub(crate) enum Backend {
    InProcess(Instance),
    Runner(Runner),
}

impl Backend {
    /// Calls; with `only` in the process of that generation and in no other.
    pub(crate) fn call(
        &self,
        table: &str,
        function: &str,
        call: Invocation<'_>,
        only: Option<u64>,
    ) -> Result<Reply, Replaced> {
        match self {
            Self::InProcess(instance) => Ok(instance.call(table, function, call)),
            Self::Runner(runner) => runner.call(table, function, call, only),
        }
    }

    /// Which process the next call goes to: another one knows nothing of what was said before.
    pub(crate) fn generation(&self) -> u64 {
        match self {
            Self::InProcess(_) => 0,
            Self::Runner(runner) => runner.generation(),
        }
    }

    /// Whether it shares our process: a driver that panicked there is refused from then on, while a runner's process is
    /// replaced.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::InProcess(_))
    }

    /// Why no process of it is started any more, if so.
    pub(crate) fn refused(&self) -> Option<String> {
        match self {
            Self::InProcess(_) => None,
            Self::Runner(runner) => runner.refused(),
        }
    }

    /// Lets it be started again.
    pub(crate) fn readmit(&self) {
        if let Self::Runner(runner) = self {
            runner.readmit();
        }
    }

    pub(crate) fn isolation(&self) -> &'static str {
        match self {
            Self::InProcess(_) => "in-process",
            Self::Runner(_) => "runner",
        }
    }
}
