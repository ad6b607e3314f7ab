//! Turns the vendored CRI proto into Rust: messages, client and server.
//!
//! The proto is compiled by `protox`, in Rust: no `protoc` binary has to be installed to build Gantry.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/api.proto");
    let files = protox::compile(["proto/api.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .compile_fds(files)?;
    Ok(())
}
