//! Every test through the doors. `hack/test integration [NAME]…` builds the daemon and runs them.

use std::process::ExitCode;

mod suite {
    //! One file per subject.
    pub(crate) mod attach_exec;
    pub(crate) mod bad_input;
    pub(crate) mod both_doors;
    pub(crate) mod conformance;
    pub(crate) mod cri_change;
    pub(crate) mod cri_pod;
    pub(crate) mod daemon;
    pub(crate) mod docker_health;
    pub(crate) mod docker_life;
    pub(crate) mod docker_objects;
    pub(crate) mod docker_restart;
    pub(crate) mod docker_run;
    pub(crate) mod docker_verbs;
    pub(crate) mod exec_trees;
    pub(crate) mod execs_and_events;
    pub(crate) mod exhaustion;
    pub(crate) mod full_disk;
    pub(crate) mod handlers;
    pub(crate) mod handlers_pods;
    pub(crate) mod leaving;
    pub(crate) mod logs_harm;
    pub(crate) mod logs_read;
    pub(crate) mod logs_whole;
    pub(crate) mod oci_bundle;
    pub(crate) mod oci_peers;
    pub(crate) mod oci_spec;
    pub(crate) mod oci_validation;
    pub(crate) mod oci_verbs;
    pub(crate) mod pairs;
    pub(crate) mod plugin_faults;
    pub(crate) mod plugin_images;
    pub(crate) mod plugin_starts;
    pub(crate) mod plugins;
    pub(crate) mod reboot;
    pub(crate) mod registry;
    pub(crate) mod survive;
    pub(crate) mod vanishing;
}

fn main() -> ExitCode {
    let cases = [
        suite::daemon::cases(),
        suite::docker_run::cases(),
        suite::docker_life::cases(),
        suite::attach_exec::cases(),
        suite::exec_trees::cases(),
        suite::vanishing::cases(),
        suite::docker_objects::cases(),
        suite::docker_restart::cases(),
        suite::docker_health::cases(),
        suite::docker_verbs::cases(),
        suite::execs_and_events::cases(),
        suite::cri_pod::cases(),
        suite::cri_change::cases(),
        suite::both_doors::cases(),
        suite::survive::cases(),
        suite::reboot::cases(),
        suite::handlers::cases(),
        suite::handlers_pods::cases(),
        suite::leaving::cases(),
        suite::pairs::cases(),
        suite::logs_read::cases(),
        suite::logs_harm::cases(),
        suite::logs_whole::cases(),
        suite::bad_input::cases(),
        suite::exhaustion::cases(),
        suite::full_disk::cases(),
        suite::oci_bundle::cases(),
        suite::oci_spec::cases(),
        suite::oci_verbs::cases(),
        suite::oci_peers::cases(),
        suite::oci_validation::cases(),
        suite::plugins::cases(),
        suite::plugin_faults::cases(),
        suite::plugin_images::cases(),
        suite::plugin_starts::cases(),
        suite::conformance::cases(),
        suite::registry::cases(),
    ];
    gantry_integration::case::main(cases.concat())
}
