//! The command line runner alone, for measuring it beside other runtimes without a supervisor.

#[allow(clippy::disallowed_methods)] // the end of main
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    std::process::exit(gantry_oci::cli::main(&args))
}
