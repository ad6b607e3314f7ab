//! Every test through the doors. `hack/test integration [NAME]…` builds the daemon and runs them.

use std::process::ExitCode;

mod suite {
    //! One file per subject.
    pub(crate) mod daemon;
}

fn main() -> ExitCode {
    gantry_integration::case::main([suite::daemon::cases()].concat())
}
