//! `gantry-shim`: the supervisor of one sandbox, and the built-in OCI runtime's command line.
//!
//! One thread, one poll loop, no runtime: it makes the processes, owns their output, reaps them and writes down how
//! they ended, whatever becomes of gantryd. It decides nothing: no restart, no network, no image.

mod birth;
mod client;
mod compress;
mod connection;
mod control;
mod ending;
mod failure;
mod figures;
mod launch;
mod leave;
mod namespaces;
mod pod_init;
mod ports;
mod prepare;
mod progress;
mod requests;
mod reserve;
mod run;
mod runtime;
mod stdio;
mod supervisor;
mod task;
mod unmount;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("oci") => exit_code(gantry_oci::cli::main(&args[1..])),
        Some("run") => match birth::born(&args[1..]).and_then(supervisor::Supervisor::serve) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&error);
                ExitCode::FAILURE
            }
        },
        _ => {
            say(
                "usage: gantry-shim oci ARGUMENTS | gantry-shim run --id ID --dir FOLDER --lock-fd N --birth-fd N --listen-fd N",
            );
            ExitCode::from(2)
        }
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(255))
}

/// For people: standard error is the supervisor's log file.
fn say(text: impl std::fmt::Display) {
    use std::io::Write;
    // A log that cannot be written must not end a sandbox.
    let _ = writeln!(std::io::stderr(), "gantry-shim: {text}");
}
