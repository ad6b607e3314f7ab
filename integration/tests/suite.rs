//! Every test through the doors. `hack/test integration [NAME]…` builds the daemon and runs them.

use std::process::ExitCode;

mod suite {
    //! One file per subject.
    pub(crate) mod bad_input;
    pub(crate) mod both_doors;
    pub(crate) mod conformance;
    pub(crate) mod cri_pod;
    pub(crate) mod daemon;
    pub(crate) mod docker_life;
    pub(crate) mod docker_objects;
    pub(crate) mod docker_run;
    pub(crate) mod leaving;
    pub(crate) mod oci_bundle;
    pub(crate) mod plugins;
    pub(crate) mod registry;
    pub(crate) mod survive;
}

fn main() -> ExitCode {
    let cases = [
        suite::daemon::cases(),
        suite::docker_run::cases(),
        suite::docker_life::cases(),
        suite::docker_objects::cases(),
        suite::cri_pod::cases(),
        suite::both_doors::cases(),
        suite::survive::cases(),
        suite::leaving::cases(),
        suite::bad_input::cases(),
        suite::oci_bundle::cases(),
        suite::plugins::cases(),
        suite::conformance::cases(),
        suite::registry::cases(),
    ];
    gantry_integration::case::main(cases.concat())
}
