//! `gantry-helper`: the one process that touches files of images and containers. Short-lived, one operation each.
//!
//! The request is its one argument (JSON), a layer its stdin, the answer JSON lines on stdout. Whatever needs
//! privileges (mounting an overlay for itself) happens first; then all but a short list of capabilities is gone, and
//! only then is a byte of the archive read. It decides nothing: gantryd says what and where.

mod answer;
mod confine;
mod copy_up;
mod tree;
mod unpack;

use std::process::ExitCode;

use gantry_files::{Error, Result};

/// Ended with an error that was told on stdout.
const FAILED: u8 = 1;
/// Called wrongly: by hand, or by a gantryd of another version.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (verb, request) = (
        args.next().unwrap_or_default(),
        args.next().unwrap_or_default(),
    );
    let result = match verb.as_str() {
        "unpack" => unpack::run(&request),
        "copy-up" => copy_up::run(&request),
        "--version" => return version(),
        _ => {
            eprintln!(
                "usage: gantry-helper unpack|copy-up REQUEST (started by gantryd, not by hand)"
            );
            return ExitCode::from(USAGE);
        }
    };
    match result.and_then(|line| answer::write(&line)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // If stdout is gone, so is gantryd: nobody is left to be told.
            let _ = answer::write(&answer::error(&e));
            ExitCode::from(FAILED)
        }
    }
}

fn version() -> ExitCode {
    eprintln!("gantry-helper {}", env!("CARGO_PKG_VERSION"));
    ExitCode::SUCCESS
}

/// Reads the request of a verb.
fn parse<T: serde::de::DeserializeOwned>(request: &str) -> Result<T> {
    serde_json::from_str(request)
        .map_err(|e| Error::Request(format!("read the helper's request: {e}")))
}
